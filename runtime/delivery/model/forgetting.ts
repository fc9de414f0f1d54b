// How long inbox rows and dead letters are remembered, in ticks of a clock. An event is sent, and once more a little later;
// the log keeps each copy for a while; the consumer may read late; the event may fail, and be discarded by an operator.
import type { Model, Step } from "./explore.ts"
import { type Variant, variantsOf } from "./Variant.ts"

interface Options {
  /** How long the inbox remembers. */
  readonly remembers: "longer than log and copies" | "as long as the log"
  /** Which inbox rows of age are forgotten. */
  readonly forgets:
    | "those whose dead letter has ended, together with it"
    | "any"
    | "those whose dead letter has ended, before it"
  /** When copies are sent: within the time that is promised, or also much later, as by a module that was restored. */
  readonly copies: "in time" | "at any time"
}

const right: Options = {
  remembers: "longer than log and copies",
  forgets: "those whose dead letter has ended, together with it",
  copies: "in time",
}

/** How long after the first a copy may be sent, and how long the log keeps each. */
const lateness = 2
const retention = 2
const ticks = 9

type Letter = "none" | "open" | "ended"

interface State {
  now: number
  /** When each copy came into the log; those that the log still has. */
  copies: Array<number>
  sent: number
  /** How many copies the consumer has read. */
  read: number
  takenAt: number | null
  letter: Letter
  /** What became of the event: how often it took effect, and whether it was discarded. */
  effects: number
  isDiscarded: boolean
  failure: string | null
}

const consuming = ({ copies, read, takenAt, letter, now }: State, step: Step<State>) => {
  if (read >= copies.length) return
  if (now - copies[read]! > retention) {
    return step("the log forgets a copy that was not read", (next) => void next.read++)
  }
  if (takenAt !== null) return step("consumer: reads a copy, which it knows", (next) => void next.read++)
  const take = (what: string, change: (next: State) => void) =>
    step(`consumer: reads a copy, which is new to it; ${what}`, (next) => {
      next.read++
      next.takenAt = now
      change(next)
    })
  take("it takes effect", (next) => void next.effects++)
  take("it fails, and becomes a dead letter", (next) => {
    if (letter === "none") next.letter = "open"
    else next.failure = "stopped: the event has a dead letter already, and cannot get another"
  })
}

const ending = ({ letter }: State, step: Step<State>) => {
  if (letter !== "open") return
  step("worker: the event takes effect", (next) => {
    next.effects++
    next.letter = "ended"
  })
  step("operator: discards the event", (next) => {
    next.isDiscarded = true
    next.letter = "ended"
  })
}

const housekeeping = ({ remembers, forgets, copies }: Options, { now, takenAt, letter }: State, step: Step<State>) => {
  const memory = remembers === "as long as the log" ? retention : retention + lateness
  if (takenAt === null) {
    if (letter === "ended") step("housekeeping: forgets the dead letter", (next) => void (next.letter = "none"))
    return
  }
  if (now - takenAt <= memory || (letter === "open" && forgets !== "any")) return
  const isTogether = forgets === "those whose dead letter has ended, together with it"
  step(
    `housekeeping: forgets the inbox row${isTogether && letter === "ended" ? " and its dead letter" : ""}`,
    (next) => {
      next.takenAt = null
      if (isTogether) next.letter = "none"
      // What was forgotten is a new event, should it come once more.
      if (copies === "at any time" && letter !== "open") Object.assign(next, { effects: 0, isDiscarded: false })
    },
  )
}

const forgetting = (options: Options): Model<State> => ({
  initial: {
    now: 0,
    copies: [],
    sent: 0,
    read: 0,
    takenAt: null,
    letter: "none",
    effects: 0,
    isDiscarded: false,
    failure: null,
  },
  steps: (state, step) => {
    const { now, copies, sent } = state
    if (now < ticks) step("time passes", (next) => void next.now++)
    if (sent < 2 && (now <= lateness || options.copies === "at any time")) {
      step(sent === 0 ? "the event is sent" : "the event is sent once more", (next) => {
        next.sent++
        next.copies = [...copies, now]
      })
    }
    consuming(state, step)
    ending(state, step)
    housekeeping(options, state, step)
  },
  violation: ({ effects, isDiscarded, failure }) => {
    if (failure !== null) return failure
    if (effects > 1) return "took effect twice"
    return isDiscarded && effects > 0 ? "took effect, though it was discarded" : undefined
  },
  isDone: ({ read, copies, letter }) => read === copies.length && letter !== "open",
})

const of = variantsOf("Forgetting", right, forgetting)

export const variants: ReadonlyArray<Variant> = [
  of("holds", "an inbox row outlives the log and late copies, and goes together with its dead letter", {}),
  of("holds", "the same, and what is forgotten comes once more", { copies: "at any time" }),
  of("breaks", "an inbox row is kept as long as the log keeps records", { remembers: "as long as the log" }),
  of("breaks", "an inbox row is forgotten while its dead letter is open", { forgets: "any", copies: "at any time" }),
  of("breaks", "an inbox row is forgotten before its dead letter", {
    forgets: "those whose dead letter has ended, before it",
    copies: "at any time",
  }),
]
