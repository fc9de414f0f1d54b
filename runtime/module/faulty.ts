import { Effect } from "effect"
import { EventBus, EventBusError } from "../events/EventBus.ts"
import { type FaultRegistry, Faults, faultText, makeFaults } from "./Faults.ts"
import type { Reaction } from "./Reaction.ts"

type Bus = EventBus["Service"]

/** The event log with the fault `events`: while it is on, every call fails, and consumers get nothing. */
export const faultyLog = (bus: Bus, faults: FaultRegistry): Bus => {
  const name = "events"
  const isOn = faults.add(name)
  const unless = <A, E, R>(operation: string, work: Effect.Effect<A, E, R>): Effect.Effect<A, E | EventBusError, R> =>
    Effect.suspend((): Effect.Effect<A, E | EventBusError, R> => (isOn() ? refused(operation, name) : work))
  return {
    ensure: (topics) => unless("create topics", bus.ensure(topics)),
    send: (records) => unless("send", bus.send(records)),
    consume: (options) =>
      bus.consume({ ...options, handle: (records, spans) => unless("read", options.handle(records, spans)) }),
    lag: (group) => unless("read the lag", bus.lag(group)),
    ends: (topics) => unless("read the ends of topics", bus.ends(topics)),
    since: (topic, time) => unless("find offsets by time", bus.since(topic, time)),
    read: (request) => unless("read records", bus.read(request)),
    retentions: (topics) => unless("read retentions", bus.retentions(topics)),
    identity: unless("read the identity of the log", bus.identity),
    probe: unless("respond", bus.probe),
  }
}

/** The event log as the relay of a module has it, with the fault `relay.<module>`: while it is on, every send fails. */
export const faultyRelayLog = (bus: Bus, module: string, faults: FaultRegistry): Bus => {
  const name = `relay.${module}`
  const isOn = faults.add(name)
  return {
    ...bus,
    send: (records) => Effect.suspend(() => (isOn() ? refused("send", name) : bus.send(records))),
  }
}

/** A reaction with the fault `reaction.<name>`: while it is on, events fail, or only those of one user. */
export const faultyReaction =
  (faults: FaultRegistry) =>
  <R>(reaction: Reaction<R>): Reaction<R> => {
    const name = `reaction.${reaction.name}`
    const isOn = faults.add(name)
    return {
      ...reaction,
      run: (events) =>
        Effect.suspend(() =>
          events.some(({ key }) => isOn(key)) ? Effect.die(new Error(faultText(name))) : reaction.run(events),
        ),
    }
  }

const refused = (operation: string, fault: string) =>
  Effect.fail(new EventBusError({ operation, cause: new Error(faultText(fault)) }))

/** Runs the program on an event log that can fail, with switches for that and other faults. */
export const breakable = <A, E, R>(program: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    yield* Effect.logWarning("FAULTS=on: faults can be switched on at /admin/faults")
    const faults = makeFaults()
    return yield* program.pipe(
      Effect.provideService(EventBus, faultyLog(yield* EventBus, faults)),
      Effect.provideService(Faults, faults),
    )
  })
