import { defineConfig } from 'vitest/config';

export default defineConfig({
  // Nest reads design:paramtypes, which oxc emits only when told to.
  oxc: { decorator: { legacy: true, emitDecoratorMetadata: true } },
  test: {
    include: ['src/**/*.spec.ts', 'test/**/*.spec.ts'],
    coverage: { provider: 'v8', include: ['src/**'] },
  },
});
