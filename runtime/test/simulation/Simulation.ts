import { BigDecimal, Effect, Exit } from "effect"
import type { Answered, Claim } from "../../http/Idempotency.ts"
import { below, type Plan, planOf } from "./plan.ts"
import type { Plant } from "./Plant.ts"
import { type Call, makeProcess, type Process } from "./Process.ts"
import { holdMinutes, type World } from "./World.ts"

/** A call that a task has marked and whose result is not recorded. */
export interface OpenCall {
  readonly process: Process
  readonly call: Call
}

/** A request that has no answer and has not reached the provider yet. */
export interface LateRequest {
  readonly what: string
  readonly arrive: Effect.Effect<unknown>
}

/** A payment that does not wait for the stock: it takes every order for one that does not need inventory. */
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

/** A request without an idempotency key; its answer is not used. */
const claim: Claim<any> = {
  key: undefined,
  answer: (value) => ({ value, answer: undefined }) as unknown as Answered<any>,
  draft: (value) => ({
    row: null,
    complete: (id) => ({ value: { ...value, id }, answer: undefined }) as unknown as Answered<any>,
  }),
}

/** Starts the modules in the emptied world, with two users that the order module knows. `trace` takes a line for each step. */
export const makeSimulation = (world: World, seed: number, plant: Plant, trace: Array<string>) =>
  Effect.gen(function* () {
    const { clock, log } = world
    const plan: Plan = planOf(seed)
    const { random } = plan
    yield* world.reset
    const settings = { ORDER_STEPS: plan.steps, HOLD_MINUTES: String(holdMinutes) }
    const { running, orders, users } = yield* world.start(settings, plant)
    const planted = plan.isEager ? both(eager, plant) : plant
    const processes = yield* Effect.forEach(running, (module) => makeProcess(module, { log, clock, plant: planted }))
    const named = (name: string) => processes.find((process) => process.name === name)!
    const note = (what: string) => void trace.push(`${new Date(clock.now()).toISOString().slice(5, 23)} ${what}`)

    note(`the steps of orders are ${plan.steps}${plan.isEager ? "; payment does not wait for the stock" : ""}`)
    for (const name of ["ada", "bob"]) yield* users.create({ email: `${name}@example.org`, name }, claim)
    yield* named("user").relay(false)
    const order = named("order")
    for (const place of order.partitions) {
      if (place.topic === "user_created" && order.unread(place) > 0) yield* order.consume(place, 10)
    }

    const unplaced = [...plan.orders]
    const cancellable: Array<number> = []
    /** Orders whose cancellation was acknowledged. */
    const cancelled = new Set<number>()

    const placeOrder = Effect.gen(function* () {
      const { isCancelled, items, ...rest } = unplaced.shift()!
      const price = items.length === 0 ? { amount: BigDecimal.fromStringUnsafe("7.00") } : { items }
      const lines = items.map(({ product_id, quantity }) => `${quantity} ${product_id}`).join(" and ")
      const { value } = yield* orders.place({ ...rest, ...price }, claim)
      note(`order ${value.id}: user ${rest.user_id} orders ${lines || "no items"} with ${rest.payment_method}`)
      if (isCancelled) cancellable.push(value.id)
    })

    const cancelOrder = Effect.gen(function* () {
      const id = cancellable.splice(below(random, cancellable.length), 1)[0]!
      const exit = yield* Effect.exit(orders.cancel(id, undefined))
      if (Exit.isSuccess(exit)) cancelled.add(id)
      note(`order ${id}: a request to cancel it ${Exit.isSuccess(exit) ? "succeeds" : "comes too late"}`)
    })

    return {
      world,
      plan,
      processes,
      note,
      unplaced,
      cancellable,
      cancelled,
      calls: [] as Array<OpenCall>,
      lateRequests: [] as Array<LateRequest>,
      placeOrder,
      cancelOrder,
      audits: running.map(({ module: { name }, audit }) => ({ module: name, audit })),
    }
  })

/** One run in progress. */
export type Simulation = Effect.Success<ReturnType<typeof makeSimulation>>
