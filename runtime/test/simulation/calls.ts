import { Effect } from "effect"
import { below, pick } from "./plan.ts"
import type { Process } from "./Process.ts"
import type { OpenCall, Simulation } from "./Simulation.ts"

const nameOf = ({ call }: OpenCall) => `${call.called.name} ${call.called.id}`
const unknown = (reason: string) => ({ _tag: "Unknown", reason }) as const

/** The calls of a process that are marked and not made. */
export const unmade = ({ calls }: Simulation, process: Process) =>
  calls.filter((one) => one.process === process && one.call.result === undefined)

/** The calls of a process whose results are not recorded. */
export const unrecorded = ({ calls }: Simulation, process: Process) =>
  calls.filter((one) => one.process === process && one.call.result !== undefined)

/** Claims and marks rows of the tasks of a module. */
export const claim = ({ calls, note }: Simulation, process: Process, limit: number) =>
  Effect.gen(function* () {
    const claimed = (yield* process.claim(limit)).map((call): OpenCall => ({ process, call }))
    for (const one of claimed) note(`${process.name} marks ${nameOf(one)}`)
    calls.push(...claimed)
    return claimed.length > 0
  })

/** Makes a call that is marked, unless its process is killed; its request or its answer may be lost or late. */
export const makeCall = (simulation: Simulation, process: Process) =>
  Effect.gen(function* () {
    const { plan, calls, lateRequests, note } = simulation
    const { random, chances } = plan
    const one = pick(random, unmade(simulation, process))
    const { call } = one
    const what = nameOf(one)
    if (random() < chances.killBeforeCall) {
      calls.splice(calls.indexOf(one), 1)
      return note(`${process.name} is killed before the call of ${what}`)
    }
    if (random() < chances.requestLost) {
      call.result = unknown("the request was lost")
      return note(`the request of ${what} is lost`)
    }
    if (random() < chances.requestLate && process.name === "payment") {
      call.result = unknown("no answer in time")
      lateRequests.push({ what, arrive: Effect.ignore(call.task.call(call.called.call, call.called.id)) })
      return note(`the request of ${what} is late and has no answer`)
    }
    const result = yield* process.make(call)
    const isLost = random() < chances.answerLost
    call.result = isLost ? unknown("the answer was lost") : result
    const answer = result._tag === "Answered" ? JSON.stringify(result.answer ?? null) : result._tag
    note(`the call of ${what} is answered with ${answer}${isLost ? ", which is lost" : ""}`)
  })

/** Records the result of a call, unless its process is killed. */
export const recordResult = (simulation: Simulation, process: Process) =>
  Effect.gen(function* () {
    const { plan, calls, note } = simulation
    const one = pick(plan.random, unrecorded(simulation, process))
    const { call } = one
    calls.splice(calls.indexOf(one), 1)
    if (plan.random() < plan.chances.killBeforeResult) {
      return note(`${process.name} is killed before it records the result of ${nameOf(one)}`)
    }
    yield* process.finish(call)
    note(`${process.name} records the result of ${nameOf(one)}`)
  })

/** A late request reaches the provider. */
export const arrive = ({ plan, lateRequests, note }: Simulation) =>
  Effect.gen(function* () {
    const { what, arrive } = lateRequests.splice(below(plan.random, lateRequests.length), 1)[0]!
    yield* arrive
    note(`the late request of ${what} reaches the provider`)
  })

/** Makes all calls that are marked, and records them. Says whether there were any. */
export const completeAll = ({ calls, note }: Simulation) =>
  Effect.gen(function* () {
    const open = calls.splice(0)
    for (const one of open) {
      one.call.result ??= yield* one.process.make(one.call)
      yield* one.process.finish(one.call)
      note(`${nameOf(one)} is called and recorded: ${one.call.result._tag}`)
    }
    return open.length > 0
  })
