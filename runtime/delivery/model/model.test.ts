import { describe, expect, it } from "vitest"
import { named, read, rowsAfter, suites } from "../../test/suites.ts"
import { explore, type Model } from "./explore.ts"
import { variants } from "./variants.ts"

/** Counts up by one or two, to `most`. */
const counting = (most: number, change: Partial<Model<{ n: number }>> = {}): Model<{ n: number }> => ({
  initial: { n: 0 },
  steps: ({ n }, step) => {
    for (const by of [1, 2]) {
      if (n + by <= most) step(`adds ${by}`, (next) => void (next.n += by))
    }
  },
  violation: () => undefined,
  isDone: ({ n }) => n === most,
  ...change,
})

describe("The search of the model", () => {
  it("looks at every state once", () => {
    expect(explore(counting(9))).toEqual({ violation: undefined, trace: [], states: 10 })
  })

  it("finds a shortest way to a violation", () => {
    const found = explore(counting(9, { violation: ({ n }) => (n === 5 ? "five" : undefined) }))
    expect(found).toMatchObject({ violation: "five", trace: ["adds 1", "adds 2", "adds 2"] })
  })

  it("finds the nearest state from which the work can never be done", () => {
    const found = explore(counting(9, { isDone: ({ n }) => n === 8 }))
    expect(found).toMatchObject({ violation: "the work can never be done any more" })
    expect(found.trace).toHaveLength(5)
  })

  it("gives each step a copy of the state", () => {
    const model: Model<{ list: Array<number> }> = {
      initial: { list: [] },
      steps: ({ list }, step) => {
        if (list.length === 2) return
        for (const n of [1, 2]) step(`adds ${n}`, (next) => void next.list.push(n))
      },
      violation: () => undefined,
      isDone: ({ list }) => list.length === 2,
    }
    expect(explore(model)).toEqual({ violation: undefined, trace: [], states: 7 })
  })
})

describe("The delivery protocol, in the model", () => {
  it.each(variants.filter(({ isQuick }) => isQuick))("$part: $name $expected", ({ expected, look }) => {
    const { violation, trace } = look()
    expect(violation === undefined ? "holds" : "breaks", [...trace, violation].join("\n")).toBe(expected)
  })
})

describe("DELIVERY.md", () => {
  const text = read("runtime/DELIVERY.md")

  it.each([...new Set(variants.map(({ part }) => part))])("lists the variants of %s, with what is expected", (part) => {
    const rows = rowsAfter(text, `## ${part}`).map(([, name, found]) => [name, found!.split(":")[0]])
    expect(rows).toEqual(variants.filter((one) => one.part === part).map(({ name, expected }) => [name, expected]))
  })

  it("names the tests of each section, and these exist", () => {
    const sections = text.split(/^## /mu).slice(1)
    const lines = sections.map((section) => [section.split("\n")[0]!, /^Tests: (.+)\.$/mu.exec(section)?.[1]] as const)
    const without = lines.filter(([, tests]) => tests === undefined).map(([name]) => name)
    expect(without).toEqual(["Time, size, identity"])
    const names = lines.flatMap(([, tests]) => named(tests ?? ""))
    expect(names.length).toBeGreaterThan(20)
    expect(names.filter((name) => !suites.has(name))).toEqual([])
  })
})
