import type { Mutant } from "../mutants/Mutant.ts"
import { mutants } from "../mutants/mutants.ts"
import { plants } from "../simulation/plants.ts"
import { read, rowsAfter, suites, suitesIn } from "../suites.ts"

/** Where a promise is shown. */
export const shapes = ["one process", "over Kafka", "PostgreSQL 17", "PostgreSQL 18", "groupings"] as const
export type ShapeName = (typeof shapes)[number]

/** A promise, or the life of an order, with the suites that show it, by their full titles. */
export interface PromiseRow {
  /** The number of the promise in README; undefined: the life of an order. */
  readonly promise: number | undefined
  readonly shown: Readonly<Partial<Record<ShapeName, ReadonlyArray<string>>>>
}

const killed = "Galleria under kill -9"
const grouped = (release: number) => `Modules in any grouping, over Kafka and PostgreSQL ${release}`

export const promiseRows: ReadonlyArray<PromiseRow> = [
  {
    promise: 1,
    shown: {
      "one process": [`${killed}, in one process`, "Outbox (embedded)"],
      "over Kafka": [`${killed}, over Kafka`],
      "PostgreSQL 17": ["Database (postgres 17)", grouped(17)],
      "PostgreSQL 18": [`${killed}, over Kafka and PostgreSQL`, "Outbox (postgres)"],
      groupings: [grouped(18)],
    },
  },
  {
    promise: 2,
    shown: {
      "one process": ["Inbox (embedded)", "EventBus (embedded)", `${killed}, in one process`],
      "over Kafka": ["EventBus (kafka)", `${killed}, over Kafka`],
      "PostgreSQL 17": ["Database (postgres 17)", grouped(17)],
      "PostgreSQL 18": ["Inbox (postgres)", "Galleria in a storm"],
      groupings: [grouped(18)],
    },
  },
  {
    promise: 3,
    shown: {
      "one process": ["EventBus (embedded)", "Outbox (embedded)"],
      "over Kafka": ["EventBus (kafka)"],
      "PostgreSQL 17": ["Database (postgres 17)"],
      "PostgreSQL 18": ["Outbox (postgres)", "delivery under stress (postgres)"],
    },
  },
  {
    promise: 4,
    shown: {
      "one process": ["DeadLetters (embedded)", "a reaction that fails for one order (embedded)"],
      "over Kafka": ["a reaction that fails for one order (kafka)"],
      "PostgreSQL 18": ["DeadLetters (postgres)", "delivery under stress (postgres)"],
    },
  },
  {
    promise: 5,
    shown: {
      "one process": ["Inbox (embedded)", "DeadLetters (embedded)", "A disk that is nearly full"],
      "over Kafka": ["Two modules over Kafka"],
      "PostgreSQL 17": ["Database (postgres 17)"],
      "PostgreSQL 18": ["An outage of PostgreSQL", "Two processes of each module on PostgreSQL and Kafka"],
    },
  },
  {
    promise: 6,
    shown: {
      "one process": ["Stopping", `${killed}, in one process`, "the worker of tasks"],
      "over Kafka": [`${killed}, over Kafka`],
      "PostgreSQL 17": [grouped(17)],
      "PostgreSQL 18": ["A process that stops", `${killed}, over Kafka and PostgreSQL`],
      groupings: [grouped(18)],
    },
  },
  { promise: 7, shown: { "one process": ["/livez", "loop"] } },
  {
    promise: 8,
    shown: {
      "one process": ["Tasks (embedded)", "the worker of tasks", "The worker of tasks under kill -9"],
      "over Kafka": ["Five processes over Kafka and PostgreSQL"],
      "PostgreSQL 17": [grouped(17)],
      "PostgreSQL 18": ["Tasks (postgres)"],
      groupings: [grouped(18)],
    },
  },
  { promise: 9, shown: { "one process": ["Deliveries (embedded)"], "PostgreSQL 18": ["Deliveries (postgres)"] } },
  {
    promise: undefined,
    shown: {
      "one process": ["The journey of an order, in one process", "The smoke test of one process", "The simulation"],
      "over Kafka": ["The journey of an order, over Kafka", "Five processes over Kafka and PostgreSQL"],
      "PostgreSQL 17": [grouped(17)],
      "PostgreSQL 18": ["The journey of an order, over Kafka and PostgreSQL"],
      groupings: [grouped(17), grouped(18)],
    },
  },
]

/** The title without what its driver or shape adds. */
export const baseOf = (title: string): string => title.replace(/ \([^)]*\)$|, (?:in|over) .*$/u, "")

/** The suites in which a mutant has to be caught: the one that it names, else those of its file. */
const suitesOf = ({ fails, test }: Mutant): ReadonlyArray<string> => {
  const named = baseOf(fails.split(" > ")[0]!)
  return suites.has(named) ? [named] : [...suitesIn(read(test))]
}

/** How many broken variants the suites of a row have to catch: mutants, and the bugs that are planted for the simulation. */
export const brokenOf = ({ shown }: PromiseRow): number => {
  const own = new Set(Object.values(shown).flat().map(baseOf))
  const caught = mutants.filter((mutant) => suitesOf(mutant).some((suite) => own.has(suite)))
  return caught.length + (own.has("The simulation") ? plants.length : 0)
}

/** `PARITY.md`: which suite shows which promise where. */
export const parityDocument = (): string => {
  const promises = new Map(
    rowsAfter(read("README.md"), "## Promises").map(([, number, text]) => [Number(number), text!]),
  )
  const line = (cells: ReadonlyArray<string | number>) => `| ${cells.join(" | ")} |`
  const rows = promiseRows.map((row) => [
    row.promise ?? "",
    row.promise === undefined ? "The life of an order, to each of its endings." : promises.get(row.promise)!,
    ...shapes.map((shape) => row.shown[shape]?.map((title) => `*${title}*`).join(", ") ?? "–"),
    brokenOf(row),
  ])
  return `# Which test shows a promise where

\`npm run parity -- --write\` writes this file, and a test checks that it is current. \`npm run parity\` prints the same table
with the results of the last \`npm test\` and \`npm run test:whole\`, and which driver of a port has which of its properties.

A dash: no test of that shape; the promise rests on the suites of the ports, which every driver passes. The last column counts
the mutants (\`npm run mutants\`) that these suites have to catch, and the planted bugs that the simulation has to find.

${line(["", "promise", ...shapes, "broken variants"])}
${line(Array.from({ length: shapes.length + 3 }, () => "---"))}
${rows.map(line).join("\n")}
`
}

/** A test in vitest's report. */
export interface ReportedTest {
  readonly ancestorTitles: ReadonlyArray<string>
  readonly title: string
  readonly status: string
}

/** What a report says of the suites of a cell: the number of tests that passed, `RED`, or that a suite was not run. */
export const resultOf = (titles: ReadonlyArray<string> | undefined, tests: ReadonlyArray<ReportedTest>): string => {
  if (titles === undefined) return "–"
  const results = titles.map((title) => tests.filter(({ ancestorTitles }) => ancestorTitles.includes(title)))
  if (results.flat().some(({ status }) => status === "failed")) return "RED"
  const passed = results.map((own) => own.filter(({ status }) => status === "passed").length)
  return passed.includes(0) ? "not run" : String(passed.reduce((sum, count) => sum + count, 0))
}
