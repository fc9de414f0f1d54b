import { Context, type Duration, type Effect, type Scope } from "effect"
import type { EventBus } from "../EventBus.ts"

type Bus = EventBus["Service"]

/** What drivers may differ in. */
interface Differences {
  /** The longest that anything takes, such as a rebalance or a redelivery, on a machine that is busy. */
  readonly patience: Duration.Input
  /** For so long a member may be silent before others get what it has. A log that is one process' own needs none. */
  readonly silence: Duration.Input
  /** The members of a group may be in several processes at once. */
  readonly sideBySide: boolean
  /** Records that a known group has still to handle are kept though their retention has passed. */
  readonly keepsForGroups: boolean
}

/** A process that has the log open, and what may become of it. */
export interface Process {
  readonly bus: Bus
  /** Ends it by kill -9: nothing that it was about to do reaches the log. */
  readonly kill: Effect.Effect<void>
  /** Stops it by SIGSTOP, and lets it go on. */
  readonly freeze: Effect.Effect<void>
  readonly thaw: Effect.Effect<void>
}

/** What checks need of a log beyond its port. */
export class Log extends Context.Service<
  Log,
  {
    /** The log as one process has it open. */
    readonly open: Effect.Effect<Bus, unknown, Scope.Scope>
    /** A process of its own. */
    readonly process: Effect.Effect<Process, unknown, Scope.Scope>
    /** Lets the retention of all records pass that are on the topic now, and prunes it. */
    readonly age: (topic: string) => Effect.Effect<void, unknown>
    readonly differences: Differences
  }
>()("galleria/events/suite/Log") {}

/** A promise of `EventBus.ts`, to be kept by every driver of the port. */
export interface Check {
  readonly name: string
  readonly check: Effect.Effect<void, unknown, EventBus | Log | Scope.Scope>
}
