// SPDX-License-Identifier: Apache-2.0

// Answers HTTP requests the way of service workers: the runtime turns each into a fetch event.
addEventListener('fetch', (event) => event.respondWith(answer(event.request)));

async function answer(request) {
  const url = new URL(request.url);
  const name = url.searchParams.get('name') ?? 'world';
  const body = await request.text();
  let text = `Hello from JavaScript, ${name}!\n${request.method} ${url.pathname}\n`;

  if (body) text += `${body.length} characters came with it: ${JSON.stringify(body)}\n`;
  return new Response(text, { headers: { 'content-type': 'text/plain; charset=utf-8' } });
}
