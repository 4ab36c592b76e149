// SPDX-License-Identifier: Apache-2.0

// A greeting as a WASI 0.2 command: what the world exports is what the module exports.
import { getArguments, getEnvironment } from 'wasi:cli/environment@0.2.0';

export const run = {
  run() {
    const greeting = new Map(getEnvironment()).get('GREETING') ?? 'Hello';
    const names = getArguments().slice(1);
    console.log([`${greeting} from JavaScript`, ...names].join(', '));
  },
};
