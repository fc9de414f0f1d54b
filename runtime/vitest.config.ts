import { defineConfig } from "vitest/config"

/** Tests that start and kill processes or a browser, or run long simulations; all others belong to `npm test`. */
const whole = ["whole", "simulation", "console"].map((folder) => `runtime/test/${folder}/**/*.test.ts`)

/** The configuration of `npm test` or of `npm run test:whole`. */
export const configOf = (which: "quick" | "whole") =>
  defineConfig({
    test: {
      root: new URL("..", import.meta.url).pathname,
      include: which === "whole" ? whole : ["{modules,runtime}/**/*.test.ts"],
      exclude: which === "whole" ? [] : whole,
      globalSetup: ["runtime/test/harness/globalSetup.ts"],
      reporters: [
        "default",
        ["json", { outputFile: which === "whole" ? ".cache/tests-whole.json" : ".cache/tests.json" }],
      ],
      pool: "forks",
      maxWorkers: which === "whole" ? 2 : 3,
      // An embedded database takes seconds to start on a busy machine.
      testTimeout: 120_000,
      hookTimeout: 120_000,
    },
  })

export default configOf("quick")
