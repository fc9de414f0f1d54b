import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    root: new URL("..", import.meta.url).pathname,
    include: ["{modules,runtime}/**/*.test.ts"],
    globalSetup: ["runtime/testing/globalSetup.ts"],
    reporters: ["default", ["json", { outputFile: ".cache/tests.json" }]],
    pool: "forks",
    maxWorkers: 2,
    // An embedded database takes seconds to start where the machine is busy.
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
})
