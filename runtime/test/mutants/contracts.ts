import type { Mutant } from "./Mutant.ts"

const compareTest = "runtime/contract/compare.test.ts"
const breaksTest = "runtime/contract/breaks.test.ts"

/** Breaks of contracts that would pass unnoticed. */
export const ofContracts: ReadonlyArray<Mutant> = [
  {
    name: "a removed member breaks no reader",
    file: "runtime/contract/compare.ts",
    find: `return [removed(path(name), "is removed")]`,
    replace: "return []",
    breaks: "Consumers that read the member fail after the release.",
    test: compareTest,
    fails: "the differences of two schemas > have",
  },
  {
    name: "a value that is added to an enumeration breaks no reader",
    file: "runtime/contract/compare.ts",
    find: ".filter((one: unknown) => !was.includes(one))",
    replace: ".filter(() => false)",
    breaks: "Consumers that match on the value refuse it.",
    test: compareTest,
    fails: "the differences of two schemas > have",
  },
  {
    name: "a higher minimum breaks no reader",
    file: "runtime/contract/compare.ts",
    find: "const isNarrower = lower.includes(keyword) ? is! > was! : is! < was!",
    replace: "const isNarrower = lower.includes(keyword) ? is! < was! : is! < was!",
    breaks: "Events on the log are refused after the release.",
    test: compareTest,
    fails: "the differences of two schemas > have",
  },
  {
    name: "another key of a topic breaks no reader",
    file: "runtime/contract/breaks.ts",
    find: "...(event.key === latest.key",
    replace: "...(event.key !== undefined",
    breaks: "Events of one key move to several partitions and lose their order.",
    test: breaksTest,
    fails: "the breaks of an event's contract > have",
  },
  {
    name: "a new version mends what is on the log",
    file: "runtime/contract/breaks.ts",
    find: `one.breaksNewReaders ? \`Today's`,
    replace: `one.breaksNewReaders && isSameVersion ? \`Today's`,
    breaks: "Events of the earlier version become dead letters.",
    test: breaksTest,
    fails: "the breaks of an event's contract > are not mended where today's readers refuse what is on the log",
  },
  {
    name: "a problem that is removed breaks no client",
    file: "runtime/contract/breaks.ts",
    find: "if (now === undefined) return [`the problem ${type}",
    replace: "if (now === undefined) return []\n    if (now === null) return [`the problem ${type}",
    breaks: "Clients that distinguish the problem fail.",
    test: breaksTest,
    fails: "the breaks of a module's endpoints > have",
  },
]
