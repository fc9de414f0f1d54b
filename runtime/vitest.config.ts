import { defineConfig } from "vitest/config"

/** Tests that start and kill whole processes, or simulate at length: `npm run test:whole`, in minutes. */
const whole = ["runtime/test/whole/**/*.test.ts", "runtime/**/killed.test.ts", "runtime/simulation/**/*.test.ts"]
const isWhole = process.env["TEST_WHOLE"] !== undefined

export default defineConfig({
  test: {
    root: new URL("..", import.meta.url).pathname,
    include: isWhole ? whole : ["{modules,runtime}/**/*.test.ts"],
    exclude: isWhole ? [] : whole,
    globalSetup: ["runtime/testing/globalSetup.ts"],
    reporters: ["default", ["json", { outputFile: isWhole ? ".cache/tests-whole.json" : ".cache/tests.json" }]],
    pool: "forks",
    maxWorkers: 2,
    // An embedded database takes seconds to start where the machine is busy.
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
})
