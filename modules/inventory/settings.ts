import { Config, Effect, Schema } from "effect"

/** A hold lasts at most a week. */
const mostMinutes = 7 * 24 * 60

export const settings = {
  /** How long stock is held for an unpaid order. */
  HOLD_MINUTES: Config.schema(
    Schema.NumberFromString.check(Schema.isBetween({ minimum: 0.01, maximum: mostMinutes })),
    "HOLD_MINUTES",
  ).pipe(Config.withDefault(15)),
}

/** `HOLD_MINUTES` in milliseconds. */
export const holdMillis = Effect.map(settings.HOLD_MINUTES, (minutes) => minutes * 60_000)
