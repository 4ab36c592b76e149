// SPDX-License-Identifier: Apache-2.0

// The front: asks the API, and shows what it answered.
import { getEnvironment } from 'wasi:cli/environment@0.2.10';

addEventListener('fetch', (event) => event.respondWith(answer(event.request)));

async function answer(request) {
  const { API_URL: api } = Object.fromEntries(getEnvironment());
  const url = new URL(new URL(request.url).pathname, api);

  try {
    const response = await fetch(url);
    if (!response.ok) throw new Error(`status ${response.status}`);
    return new Response(`The API says:\n${await response.text()}`);
  } catch (error) {
    return new Response(`${url} did not answer: ${error}\n`, { status: 502 });
  }
}
