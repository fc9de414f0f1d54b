/** A state is plain data: objects, arrays, numbers, strings, booleans. Two that read the same are one. */
export type Plain = number | string | boolean | null | ReadonlyArray<Plain> | { readonly [name: string]: Plain }

/** Takes one step: what happens, in words, and how it changes the state, of which `change` is given a copy. */
export type Step<S> = (what: string, change: (next: S) => void) => void

/** A small world in which several parties take steps, one at a time, in any order. */
export interface Model<S> {
  readonly initial: S
  /** Offers every step that can be taken from `state`. */
  readonly steps: (state: S, step: Step<S>) => void
  /** What is wrong with a state; undefined when nothing is. */
  readonly violation: (state: S) => string | undefined
  /** Whether all work is done. From every state it must stay possible to get to such a state. */
  readonly isDone: (state: S) => boolean
}

export interface Found {
  /** What is wrong; undefined when nothing is, in any state. */
  readonly violation: string | undefined
  /** A shortest way to it, step by step. */
  readonly trace: ReadonlyArray<string>
  readonly states: number
}

/** A search that gets this far is not of a small model. */
const mostStates = 2_000_000

/**
 * Looks at every state that can be reached, nearest first, so that a trace is a shortest one. When no state is wrong,
 * looks for one from which the work can never be done any more.
 */
export const explore = <S>(model: Model<S>): Found => {
  const numbers = new Map<string, number>()
  const texts: Array<string> = []
  const cameFrom: Array<number> = []
  const steps: Array<string> = []
  /** Each step as the two states that it connects. */
  const from: Array<number> = []
  const to: Array<number> = []
  const done: Array<number> = []

  const numberOf = (text: string, before: number, what: string) => {
    const known = numbers.get(text)
    if (known !== undefined) return known
    const number = texts.length
    if (number >= mostStates) throw new Error(`there are more than ${mostStates} states`)
    numbers.set(text, number)
    texts.push(text)
    cameFrom.push(before)
    steps.push(what)
    return number
  }
  const found = (violation: string | undefined, at: number): Found => {
    const trace: Array<string> = []
    for (let state = at; state > 0; state = cameFrom[state]!) trace.unshift(steps[state]!)
    return { violation, trace, states: texts.length }
  }

  numberOf(JSON.stringify(model.initial), -1, "")
  for (let at = 0; at < texts.length; at++) {
    const state = JSON.parse(texts[at]!) as S
    const violation = model.violation(state)
    if (violation !== undefined) return found(violation, at)
    if (model.isDone(state)) done.push(at)
    model.steps(state, (what, change) => {
      const next = copyOf(state as Plain) as S
      change(next)
      const number = numberOf(JSON.stringify(next), at, what)
      if (number === at) return
      from.push(at)
      to.push(number)
    })
  }
  const stuck = firstThatCannotReach(done, from, to, texts.length)
  return stuck === undefined ? found(undefined, 0) : found("the work can never be done any more", stuck)
}

const copyOf = (value: Plain): Plain => {
  if (typeof value !== "object" || value === null) return value
  if (Array.isArray(value)) return value.map(copyOf)
  const copy: Record<string, Plain> = {}
  const from = value as Readonly<Record<string, Plain>>
  for (const name of Object.keys(from)) copy[name] = copyOf(from[name]!)
  return copy
}

/** The first state, by number, from which no step leads on towards `goals`. */
const firstThatCannotReach = (
  goals: ReadonlyArray<number>,
  from: ReadonlyArray<number>,
  to: ReadonlyArray<number>,
  states: number,
): number | undefined => {
  /** The steps into each state, as a list that is linked by `following`. */
  const last = new Int32Array(states).fill(-1)
  const following = new Int32Array(to.length)
  for (let step = 0; step < to.length; step++) {
    following[step] = last[to[step]!]!
    last[to[step]!] = step
  }
  const reaches = new Uint8Array(states)
  const next = [...goals]
  for (const goal of goals) reaches[goal] = 1
  for (let state = next.pop(); state !== undefined; state = next.pop()) {
    for (let step = last[state]!; step >= 0; step = following[step]!) {
      const before = from[step]!
      if (reaches[before] === 1) continue
      reaches[before] = 1
      next.push(before)
    }
  }
  const stuck = reaches.indexOf(0)
  return stuck < 0 ? undefined : stuck
}
