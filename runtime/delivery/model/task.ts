// One row of a task, two workers, and a call to the outside that may be made, not made, or be without an answer. What is
// promised: a call is said to be the first only when no earlier one can have been made.
import type { Model, Step } from "./explore.ts"
import { type Variant, variantsOf } from "./Variant.ts"

interface Options {
  /** When the row is marked as called. */
  readonly marks: "before the call" | "in a transaction that ends after the call" | "after the call"
  /** What a row is whose mark is too old. */
  readonly old: "unknown" | "new"
  /** Which results are recorded. */
  readonly records: "of the claim that holds the row" | "of any claim"
  /** What a call that was certainly not made says of those before it. */
  readonly notMade: "nothing" | "that they were not made"
  /** Whether a worker looks at the clock before it calls. */
  readonly looks: boolean
}

const right: Options = {
  marks: "before the call",
  old: "unknown",
  records: "of the claim that holds the row",
  notMade: "nothing",
  looks: true,
}

type Result = "answered" | "not made" | "unknown"

interface Worker {
  claim: number
  /** What it knows of earlier calls. */
  isUnknown: boolean
  hasCalled: boolean
  result: Result | null
}

interface State {
  row: { holder: number | null; isUnknown: boolean; isOld: boolean } | null
  workers: [Worker | null, Worker | null]
  claims: number
  /** Calls that were begun and may have been made. */
  calls: number
  /** A call that was said to be the first, though it was not. */
  wrong: boolean
  kills: number
}

const mostClaims = 3

const claiming = (options: Options, w: number, state: State, step: Step<State>) => {
  const { row, claims } = state
  if (row === null || claims === mostClaims || (row.holder !== null && !row.isOld)) return
  const isLocked = options.marks === "in a transaction that ends after the call" && state.workers[1 - w] !== null
  if (isLocked) return
  const isUnknown = row.isUnknown || (row.holder !== null && options.old === "unknown")
  const marks = options.marks === "before the call"
  step(
    `worker ${w}: claims the row${marks ? " and marks it" : ""}; earlier calls are ${isUnknown ? "unknown" : "none"}`,
    (next) => {
      next.claims++
      next.workers[w] = { claim: next.claims, isUnknown, hasCalled: false, result: null }
      if (marks) next.row = { holder: next.claims, isUnknown, isOld: false }
    },
  )
}

const working = (options: Options, w: number, state: State, step: Step<State>) => {
  const worker = state.workers[w]!
  const { claim, isUnknown, hasCalled, result } = worker
  if (state.kills > 0) {
    step(`worker ${w}: is killed`, (next) => {
      next.kills--
      next.workers[w] = null
    })
  }
  if (!hasCalled) {
    const isLate = options.marks === "before the call" && (state.row?.holder !== claim || state.row.isOld)
    if (options.looks && isLate) {
      return step(`worker ${w}: does not call, since its mark is too old`, (next) => void (next.workers[w] = null))
    }
    return step(
      `worker ${w}: calls${isUnknown ? ", after it has asked what became of earlier calls" : " for the first time"}`,
      (next) => {
        next.workers[w]!.hasCalled = true
        if (!isUnknown && next.calls > 0) next.wrong = true
        next.calls++
      },
    )
  }
  if (result === null) {
    for (const result of ["answered", "not made", "unknown"] as const) {
      step(`worker ${w}: its call is ${result}`, (next) => {
        next.workers[w]!.result = result
        if (result === "not made") next.calls--
      })
    }
    return
  }
  const isHeld =
    state.row !== null &&
    (options.records === "of any claim" || options.marks !== "before the call" || state.row.holder === claim)
  step(
    isHeld ? `worker ${w}: records that its call is ${result}` : `worker ${w}: ignores the result, its claim is gone`,
    (next) => {
      next.workers[w] = null
      if (!isHeld) return
      const isStill = isUnknown && options.notMade === "nothing"
      next.row =
        result === "answered" ? null : { holder: null, isUnknown: result === "unknown" || isStill, isOld: false }
    },
  )
}

const task = (options: Options): Model<State> => ({
  initial: {
    row: { holder: null, isUnknown: false, isOld: false },
    workers: [null, null],
    claims: 0,
    calls: 0,
    wrong: false,
    kills: 1,
  },
  steps: (state, step) => {
    for (const w of [0, 1]) {
      if (state.workers[w] === null) claiming(options, w, state, step)
      else working(options, w, state, step)
    }
    if (state.row !== null && state.row.holder !== null && !state.row.isOld) {
      step("the mark gets too old", (next) => void (next.row!.isOld = true))
    }
  },
  violation: ({ wrong }) =>
    wrong ? "called as if for the first time, though an earlier call may have been made" : undefined,
  // Only so many claims are looked at.
  isDone: ({ row, claims, workers }) =>
    row === null || (claims === mostClaims && workers.every((worker) => worker === null)),
})

const of = variantsOf("Tasks", right, task)

export const variants: ReadonlyArray<Variant> = [
  of("holds", "claim and mark, commit, call, record by the claim", {}),
  of("breaks", "the row is marked after the call", { marks: "after the call" }),
  of("breaks", "the call is made before the mark is committed", { marks: "in a transaction that ends after the call" }),
  of("breaks", "a row whose mark is too old is taken as new", { old: "new" }),
  of("breaks", "a worker calls although its mark is too old", { looks: false }),
  of("breaks", "a result is recorded although its claim is gone", { records: "of any claim" }),
  of("breaks", "a call that was not made clears what is unknown of those before it", {
    notMade: "that they were not made",
  }),
]
