import { BigDecimal, Cause, Clock, Effect, Exit, Random as EffectRandom, References } from "effect"
import type { Received } from "../events/EventBus.ts"
import type { Answered, Claim } from "../http/Idempotency.ts"
import { type Random, randomOf } from "../testing/shoppers.ts"
import { faultsIn } from "./oracle.ts"
import type { Plant } from "./Plant.ts"
import { type Call, makeProcess, type Mishap, type Process } from "./Process.ts"
import { stock, type World } from "./World.ts"

/** What came of a run: faults are what is not as it must be, and the trace says what happened. */
export interface Outcome {
  readonly seed: number
  readonly faults: ReadonlyArray<string>
  readonly trace: ReadonlyArray<string>
}

const second = 1_000
const minute = 60 * second
const hour = 60 * minute

/** Steps that are chosen at random in one run, at most; then everything works and is waited for. */
const mostSteps = 75

const below = (random: Random, most: number) => Math.floor(random() * most)
const pick = <Item>(random: Random, items: ReadonlyArray<Item>) => items[below(random, items.length)]!

const tokens = [
  "card_ok",
  "card_ok",
  "card_slow",
  "card_timeout",
  "card_flaky",
  "card_down",
  "card_declined",
  "card_expired",
  "card_of_nobody",
]

const stepsOf = (random: Random) => {
  const dice = random()
  return dice < 0.65 ? "payment,inventory" : dice < 0.82 ? "inventory" : dice < 0.95 ? "payment" : "none"
}

const itemsOf = (random: Random) =>
  Object.keys(stock)
    .filter(() => random() < 0.6)
    .map((product_id) => ({ product_id, quantity: 1 + below(random, 2), price: BigDecimal.fromStringUnsafe("12.50") }))

/** What is to happen in one run, before it is known when. */
const planOf = (random: Random) => ({
  steps: stepsOf(random),
  /** Payment charges at once, though the stock is not held yet, as another release may. */
  isEager: random() < 0.3,
  orders: Array.from({ length: 1 + below(random, 2) }, () => ({
    user_id: 1 + below(random, 2),
    payment_method: pick(random, tokens),
    items: itemsOf(random),
    isCancelled: random() < 0.55,
  })),
})

/** An eager payment: to it no order needs inventory. */
const eager: Plant = {
  reaction: (reaction) =>
    reaction.name !== "payment.open"
      ? reaction
      : {
          ...reaction,
          run: (events) =>
            reaction.run(
              events.map((event) => ({
                ...event,
                data: { ...event.data, steps: event.data.steps.filter((step: string) => step === "payment") },
              })) as unknown as typeof events,
            ),
        },
}

const both = (first: Plant, second: Plant): Plant => ({
  ...first,
  reaction: (reaction, sql) => {
    const changed = first.reaction?.(reaction, sql) ?? reaction
    return second.reaction?.(changed, sql) ?? changed
  },
})

/** A request without a key, whose answer nobody reads. */
const claim: Claim<any> = {
  key: undefined,
  answer: (value) => ({ value, answer: undefined }) as unknown as Answered<any>,
  draft: (value) => ({
    row: null,
    complete: (id) => ({ value: { ...value, id }, answer: undefined }) as unknown as Answered<any>,
  }),
}

/** A step that could be next. */
interface Step {
  readonly weight: number
  readonly what: string
  readonly run: Effect.Effect<unknown, unknown>
}

/**
 * Runs all modules on one seed: what may happen next is collected, one of it is chosen, until nothing is left or enough
 * happened; then nothing goes wrong any more, time passes until all has ended, and the end is judged. The same seed is
 * the same run.
 */
export const simulate = (world: World, seed: number, plant: Plant = {}): Effect.Effect<Outcome> => {
  const trace: Array<string> = []
  return run(world, seed, plant, trace).pipe(
    Effect.scoped,
    Effect.provideService(Clock.Clock, world.clock.clock),
    EffectRandom.withSeed(seed),
    Effect.provideService(References.MinimumLogLevel, "None"),
    Effect.withTracerEnabled(false),
    Effect.exit,
    Effect.map((exit) => ({
      seed,
      trace,
      faults: Exit.isSuccess(exit) ? exit.value : [`the run failed: ${Cause.pretty(exit.cause)}`],
    })),
  )
}

const run = (world: World, seed: number, plant: Plant, trace: Array<string>) =>
  Effect.gen(function* () {
    const { clock, log } = world
    const random = randomOf(seed)
    const plan = planOf(random)
    yield* world.reset
    const { running, orders, users } = yield* world.start({ ORDER_STEPS: plan.steps })
    const planted = plan.isEager && plan.steps === "payment,inventory" ? both(eager, plant) : plant
    const processes = yield* Effect.forEach(running, (module) => makeProcess(module, { log, clock, plant: planted }))
    const say = (what: string) => void trace.push(`${new Date(clock.now()).toISOString().slice(5, 23)} ${what}`)
    say(`orders need ${plan.steps}${planted === plant ? "" : ", and are charged at once"}`)

    const [user, order] = ["user", "order"].map((name) => processes.find((process) => process.name === name)!)
    for (const name of ["ada", "bob"]) yield* users.create({ email: `${name}@example.org`, name }, claim)
    yield* user!.relay(false)
    for (const place of order!.partitions) {
      if (place.topic === "user_created" && order!.unread(place) > 0) yield* order!.consume(place, 10)
    }

    const waiting = [...plan.orders]
    const cancellable: Array<number> = []
    const cancelled = new Set<number>()
    const calls: Array<{ readonly process: Process; readonly call: Call }> = []
    const late: Array<{ readonly what: string; readonly run: Effect.Effect<unknown> }> = []

    const place = Effect.gen(function* () {
      const { isCancelled, items, ...order } = waiting.shift()!
      const price = items.length === 0 ? { amount: BigDecimal.fromStringUnsafe("7.00") } : { items }
      const lines = items.map(({ product_id, quantity }) => `${quantity} ${product_id}`).join(" and ")
      const { value } = yield* orders.place({ ...order, ...price }, claim)
      say(`user ${order.user_id} orders ${lines || "by an amount"} with ${order.payment_method}: order ${value.id}`)
      processes.find(({ name }) => name === "order")!.happened()
      if (isCancelled) cancellable.push(value.id)
    })

    const cancel = Effect.gen(function* () {
      const id = cancellable.splice(below(random, cancellable.length), 1)[0]!
      const exit = yield* Effect.exit(orders.cancel(id, undefined))
      if (Exit.isSuccess(exit)) cancelled.add(id)
      say(`order ${id} is cancelled: ${Exit.isSuccess(exit) ? "it was" : "too late"}`)
      processes.find(({ name }) => name === "order")!.happened()
    })

    const mishapOf = (records: ReadonlyArray<Received>): Mishap => {
      const dice = random()
      if (dice < 0.08) return { kill: "before the commit" }
      if (dice < 0.14) return { kill: "after the commit" }
      if (dice > 0.92) {
        const id = pick(random, records).headers["ce_id"]!
        return { fails: { id, until: clock.now() + (1 + below(random, 8)) * second } }
      }
      return {}
    }

    const readingOf = (process: Process): ReadonlyArray<Step> =>
      process.partitions.flatMap((place): ReadonlyArray<Step> => {
        const { topic, partition } = place
        const unread = process.unread(place)
        const again = process.isBehindStart(place)
          ? [
              {
                weight: 0.02,
                what: `${topic}/${partition} hands out records to ${process.name} again`,
                run: Effect.sync(() => process.goBack(place, 1 + below(random, 2))),
              },
            ]
          : []
        if (unread === 0) return again
        const read = Effect.gen(function* () {
          const count = 1 + below(random, Math.min(unread, 3))
          const mishap = mishapOf(process.peek(place, count))
          const isTaken = yield* process.consume(place, count, mishap)
          const how = mishap.kill ? `, killed ${mishap.kill}` : mishap.fails ? ", its reactions fail" : ""
          say(`${process.name} reads ${count} of ${topic}/${partition}${how}${isTaken ? "" : ", not taken"}`)
        })
        return [...again, { weight: 1, what: "", run: read }]
      })

    const claimBy = (process: Process, limit: number) =>
      Effect.gen(function* () {
        const claimed = yield* process.claim(limit)
        for (const call of claimed) say(`${process.name} marks ${call.called.name} ${call.called.id}`)
        calls.push(...claimed.map((call) => ({ process, call })))
      })

    const unknown = (reason: string) => ({ _tag: "Unknown", reason }) as const

    const makeCall = Effect.gen(function* () {
      const open = calls.filter(({ call }) => call.result === undefined)
      const one = pick(random, open)
      const { process, call } = one
      const { name, id } = call.called
      const dice = random()
      const what = `${name} ${id}`
      const drop = () => void calls.splice(calls.indexOf(one), 1)
      if (dice < 0.08) {
        drop()
        return say(`${what} is killed before its call`)
      }
      if (dice < 0.16) {
        call.result = unknown("the request was lost")
        return say(`the request of ${what} is lost`)
      }
      if (dice < 0.24 && process.name === "payment") {
        call.result = unknown("no answer in time")
        late.push({ what, run: Effect.ignore(call.task.call(call.called.call, id)) })
        return say(`the request of ${what} is late`)
      }
      const result = yield* process.make(call)
      call.result = dice < 0.34 ? unknown("the answer was lost") : result
      const answer = JSON.stringify("answer" in result ? (result.answer ?? null) : result._tag)
      say(`${what} is called: ${answer}${dice < 0.34 ? ", which is lost" : ""}`)
    })

    const endCall = Effect.gen(function* () {
      const made = calls.filter(({ call }) => call.result !== undefined)
      const one = pick(random, made)
      calls.splice(calls.indexOf(one), 1)
      const { name, id } = one.call.called
      if (random() < 0.15) return say(`${name} ${id} is killed before its result is recorded`)
      yield* one.process.finish(one.call)
      say(`${name} ${id} is recorded`)
    })

    const arrive = Effect.gen(function* () {
      const { what, run } = late.splice(below(random, late.length), 1)[0]!
      yield* run
      say(`the late request of ${what} arrives`)
    })

    const pass = (millis: number) =>
      Effect.sync(() => {
        clock.advance(millis)
        for (const process of processes) process.timePassed()
        say(`time passes: ${millis / second} s`)
      })

    const looping = (process: Process): ReadonlyArray<Step> => {
      const { due, name } = process
      const relay = Effect.suspend(() => {
        const isKilled = random() < 0.1
        say(`${name} relays${isKilled ? ", killed before it deletes" : ""}`)
        return process.relay(isKilled)
      })
      return [
        ...(due.relay ? [{ weight: 1.5, what: "", run: relay }] : []),
        ...(due.tasks && process.hasTasks
          ? [{ weight: 1, what: "", run: claimBy(process, 1 + below(random, 3)) }]
          : []),
        ...(due.retry
          ? [{ weight: 0.5, what: "", run: Effect.tap(process.retry, () => Effect.sync(() => say(`${name} retries`))) }]
          : []),
      ]
    }

    const possible = (): ReadonlyArray<Step> => [
      ...processes.flatMap((process) => [...readingOf(process), ...looping(process)]),
      ...(waiting.length > 0 ? [{ weight: 1, what: "", run: place }] : []),
      ...(cancellable.length > 0 ? [{ weight: 0.6, what: "", run: cancel }] : []),
      ...(calls.some(({ call }) => call.result === undefined) ? [{ weight: 2, what: "", run: makeCall }] : []),
      ...(calls.some(({ call }) => call.result !== undefined) ? [{ weight: 2, what: "", run: endCall }] : []),
      ...(late.length > 0 ? [{ weight: 0.4, what: "", run: arrive }] : []),
      { weight: 0.3, what: "", run: Effect.suspend(() => pass((1 + below(random, 30)) * second)) },
      { weight: 0.06, what: "", run: Effect.suspend(() => pass((1 + below(random, 16)) * minute)) },
    ]

    for (let n = 0; n < mostSteps; n++) {
      const steps = possible()
      let dice = random() * steps.reduce((sum, { weight }) => sum + weight, 0)
      const step = steps.find(({ weight }) => (dice -= weight) < 0) ?? steps.at(-1)!
      if (step.what !== "") say(step.what)
      yield* step.run
      clock.advance(1)
    }

    say("from now on nothing goes wrong")
    while (waiting.length > 0) yield* place
    for (const { run } of late.splice(0)) yield* run
    yield* settle(processes, calls)
    for (const millis of [10 * second, 21 * minute, 2 * hour, 25 * hour, hour]) {
      if (millis > 21 * minute && !(yield* isOpen(world))) break
      yield* pass(millis)
      yield* settle(processes, calls)
    }
    return yield* faultsIn(world, { steps: plan.steps, cancelled })
  })

/** Whether a task or a dead letter is left. */
const isOpen = ({ sql }: World) =>
  Effect.map(
    sql<{ open: boolean }>`
      select exists (select from payment.task) or exists (select from inventory.task)
        or exists (select from notification.task) as open`,
    ([row]) => row!.open,
  )

/** Lets every loop work until none has anything to do. */
const settle = (processes: ReadonlyArray<Process>, calls: Array<{ readonly process: Process; readonly call: Call }>) =>
  Effect.gen(function* () {
    for (let isMoving = true, rounds = 0; isMoving; rounds++) {
      if (rounds > 200) return yield* Effect.die(new Error("the modules do not come to rest"))
      isMoving = false
      for (const process of processes) {
        if (process.due.relay) {
          yield* process.relay(false)
          isMoving = true
        }
        for (const place of process.partitions) {
          const unread = process.unread(place)
          if (unread > 0 && (yield* process.consume(place, unread))) isMoving = true
        }
        if (process.due.retry && (yield* process.retry)) isMoving = true
        if (process.due.tasks && process.hasTasks) {
          const claimed = yield* process.claim(50)
          calls.push(...claimed.map((call) => ({ process, call })))
          process.due.tasks = claimed.length > 0
        } else process.due.tasks = false
      }
      for (const { process, call } of calls.splice(0)) {
        call.result ??= yield* process.make(call)
        yield* process.finish(call)
        isMoving = true
      }
    }
  })
