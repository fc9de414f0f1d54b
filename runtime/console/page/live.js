import { createContext } from "preact"

/** @import { Context } from "preact" */
/** @import { ActionJson as Action, CauseGroupsJson as CauseGroups, ConsoleSession, FaultSwitchJson as FaultSwitch, OverviewJson as Overview } from "../answers.ts" */
/** @import { Polled } from "./net.js" */

/**
 * What every view needs: the overview, the groups of dead letters, the faults that are on, the last actions where something
 * is stuck, and the session.
 *
 * @typedef {{
 *   overview: Polled<Overview>,
 *   groups: Polled<CauseGroups>,
 *   faults: Polled<{ items: ReadonlyArray<FaultSwitch> }>,
 *   actions: ReadonlyArray<Action>,
 *   session: ConsoleSession,
 * }} Live
 */

/** @type {Context<Live>} */
export const Live = createContext(/** @type {any} */ (undefined))
