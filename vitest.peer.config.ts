import { defineConfig } from 'vitest/config';

/** Other people's stacks as the far end (`npm run test:peer`). */
export default defineConfig({
  test: {
    include: ['test/peer/**/*.test.ts'],
    testTimeout: 30_000,
    hookTimeout: 30_000,
  },
});
