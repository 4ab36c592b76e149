// The component exports wasi:cli/run; to throw is to fail.
export const run = {
  run() {
    console.log("Hello from JavaScript!");
  },
};
