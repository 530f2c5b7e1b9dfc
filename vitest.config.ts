import { defineConfig } from 'vitest/config';

export default defineConfig({
  // Nest reads design:paramtypes, which oxc emits only when told to.
  oxc: { decorator: { legacy: true, emitDecoratorMetadata: true } },
  test: {
    include: ['src/**/*.spec.ts', 'test/**/*.spec.ts'],
    // By default one core is left idle, which is half of a small machine; most tests wait for sockets.
    maxWorkers: 2,
    // What waits for a browser or a process waits longer on a busy machine; what hangs is found all the same.
    testTimeout: 30_000,
    coverage: { provider: 'v8', include: ['src/**'] },
  },
});
