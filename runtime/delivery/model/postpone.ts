// A reaction that needs two facts, x and y of one key, which come by two topics in any order.
import type { Model, Step } from "./explore.ts"
import { type Variant, variantsOf } from "./Variant.ts"

interface Options {
  readonly reactions: "one for each type" | "one for both types"
  /** What is done with y before x has taken effect. */
  readonly early: "recorded" | "postponed"
}

interface State {
  coming: Array<string>
  held: Array<string>
  effects: Array<string>
}

const postpone = ({ reactions, early }: Options): Model<State> => {
  const queueOf = (event: string) => (reactions === "one for each type" ? event : "both")
  const isEarly = (event: string, { effects }: State) =>
    early === "postponed" && event === "y" && !effects.includes("x")
  const applied = (next: State, event: string) => {
    next.effects = [...next.effects, event].sort()
  }
  const consume = (event: string, state: State, step: Step<State>) => {
    const isBehind = state.held.some((other) => queueOf(other) === queueOf(event))
    const isQueued = isBehind || isEarly(event, state)
    const what = isBehind ? "waits behind another" : isQueued ? "is postponed" : "takes effect"
    step(`consumer: ${event} ${what}`, (next) => {
      next.coming = next.coming.filter((other) => other !== event)
      if (isQueued) next.held.push(event)
      else applied(next, event)
    })
  }
  return {
    initial: { coming: ["x", "y"], held: [], effects: [] },
    steps: (state, step) => {
      for (const event of state.coming) consume(event, state, step)
      for (const event of state.held) {
        const isFirst = state.held.find((other) => queueOf(other) === queueOf(event)) === event
        if (!isFirst || isEarly(event, state)) continue
        step(`worker: ${event} takes effect`, (next) => {
          next.held = next.held.filter((other) => other !== event)
          applied(next, event)
        })
      }
    },
    violation: () => undefined,
    isDone: ({ effects }) => effects.length === 2,
  }
}

const of = variantsOf<Options, State>("Taking charge", { reactions: "one for each type", early: "recorded" }, postpone)

export const variants: ReadonlyArray<Variant> = [
  of("holds", "a reaction for each type, which postpones what comes early", { early: "postponed" }),
  of("holds", "one reaction for two types, which records what comes early", { reactions: "one for both types" }),
  of("breaks", "one reaction for two types, which postpones one until the other came", {
    reactions: "one for both types",
    early: "postponed",
  }),
]
