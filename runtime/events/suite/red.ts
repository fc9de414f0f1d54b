import { expect } from "@effect/vitest"
import { Cause, type Duration, Effect, Exit } from "effect"
import { checks } from "./EventBusSuite.ts"
import type { Check } from "./Log.ts"

/** A driver that breaks a promise. */
export interface Broken {
  readonly driver: string
  /** The checks that have to notice, by name, and what each complains of. */
  readonly red: Readonly<Record<string, string>>
  readonly patience?: Duration.Input
}

/** The checks that have to notice one of the drivers or several. */
export const redsOf = <B extends Broken>(drivers: ReadonlyArray<B>) =>
  checks
    .map((check) => ({ check, by: drivers.filter(({ red }) => check.name in red) }))
    .filter(({ by }) => by.length > 0)

/** The run of a check ends with the complaint about the driver, and not in another way. */
export const isRed = <R>(check: Check, { red }: Broken, run: Effect.Effect<void, unknown, R>) =>
  Effect.map(Effect.exit(run), (exit) => {
    expect(Exit.isSuccess(exit) ? "nothing" : String(Cause.squash(exit.cause))).toContain(red[check.name])
  })
