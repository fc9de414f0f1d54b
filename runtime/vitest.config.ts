import { defineConfig } from "vitest/config"
import { BaseSequencer, type TestSpecification } from "vitest/node"

/** Tests of whole processes take minutes: begun last, one of them would run on alone in the end. */
class LongestFirst extends BaseSequencer {
  override async sort(files: Array<TestSpecification>) {
    const isLong = ({ moduleId }: TestSpecification) => moduleId.includes("/test/") && moduleId.includes("/runtime/")
    const sorted = await super.sort(files)
    return [...sorted.filter(isLong), ...sorted.filter((file) => !isLong(file))]
  }
}

export default defineConfig({
  test: {
    root: new URL("..", import.meta.url).pathname,
    include: ["{modules,runtime}/**/*.test.ts"],
    globalSetup: ["runtime/testing/globalSetup.ts"],
    reporters: ["default", ["json", { outputFile: ".cache/tests.json" }]],
    pool: "forks",
    maxWorkers: 2,
    sequence: { sequencer: LongestFirst },
    // An embedded database takes seconds to start where the machine is busy.
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
})
