import type { Action } from "../admin/Action.ts"
import type { DeadLetter } from "../admin/DeadLetters.ts"
import type { FaultSwitch } from "../admin/FaultSwitch.ts"
import type { LoggedEvent, LoggedEvents, Matches } from "../admin/LoggedEvent.ts"
import type { CauseGroup, CauseGroups, Operation } from "../admin/Operation.ts"
import type { JourneyEvent, OrderJourney, ReactionDelivery } from "../admin/journey/OrderJourney.ts"
import type { Overview, ReachedModule, Wait } from "../admin/overview/Overview.ts"

// The answers of `/admin` as JSON: what the page gets.
export type ActionJson = typeof Action.Encoded
export type CauseGroupJson = typeof CauseGroup.Encoded
export type CauseGroupsJson = typeof CauseGroups.Encoded
export type DeadLetterJson = typeof DeadLetter.Encoded
export type FaultSwitchJson = typeof FaultSwitch.Encoded
export type JourneyEventJson = typeof JourneyEvent.Encoded
export type LoggedEventJson = typeof LoggedEvent.Encoded
export type LoggedEventsJson = typeof LoggedEvents.Encoded
export type MatchesJson = typeof Matches.Encoded
export type OperationJson = typeof Operation.Encoded
export type OrderJourneyJson = typeof OrderJourney.Encoded
export type OverviewJson = typeof Overview.Encoded
export type ReachedModuleJson = typeof ReachedModule.Encoded
export type ReactionDeliveryJson = typeof ReactionDelivery.Encoded
export type WaitJson = typeof Wait.Encoded

/** A page of a list. */
export interface Listed<T> {
  readonly items: ReadonlyArray<T>
  readonly next_cursor: string | null
}

/** `GET /console/session`. */
export interface ConsoleSession {
  readonly signed_in: boolean
  /** The name given at login; absent where no login is needed. */
  readonly name?: string
  readonly features: ReadonlyArray<string>
  /** Where trace ids lead, with `{trace_id}` in place of the id. */
  readonly trace_url?: string
}

/** An order, as its module's public call has it. */
export interface ListedOrder {
  readonly id: number
  readonly user_id: number
  readonly amount: string
  readonly status: string
  readonly created_at: string
}
