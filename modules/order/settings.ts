import { Config, Effect, Option, Schema, SchemaIssue, SchemaTransformation } from "effect"
import { Deployment } from "../../runtime/module/Module.ts"
import { Step } from "./contract/events.ts"

const StepsText = Schema.String.pipe(
  Schema.decodeTo(
    Schema.Array(Step),
    SchemaTransformation.transformEffect({
      decode: (text) => {
        const names = text.split(",").map((name) => name.trim())
        if (names.length === 1 && names[0] === "none") return Effect.succeed([])
        return names.every(Schema.is(Step))
          ? Effect.succeed([...new Set(names)])
          : Effect.fail(
              new SchemaIssue.InvalidValue({
                message: "expected payment, inventory, both separated by a comma, or none",
              }),
            )
      },
      encode: (steps: ReadonlyArray<Step>) => Effect.succeed(steps.length === 0 ? "none" : steps.join(",")),
    }),
  ),
)

/** The longest wait that can be set: longer than clients wait for an answer. */
const mostMillis = 60_000

export const settings = {
  /** The steps that an order needs before it is processed. */
  ORDER_STEPS: Config.option(Config.schema(StepsText, "ORDER_STEPS")),
  /** How long an order waits for `user_created` of an unknown user, in milliseconds. */
  USER_WAIT_MS: Config.schema(
    Schema.NumberFromString.check(Schema.isInt(), Schema.isBetween({ minimum: 0, maximum: mostMillis })),
    "USER_WAIT_MS",
  ).pipe(Config.withDefault(1_000)),
}

/**
 * The steps of new orders. `ORDER_STEPS` is used as it is set. Unset, they are the steps whose modules run: in this process
 * with the embedded log, otherwise both.
 */
export const steps = Effect.gen(function* () {
  const { modules, distributed } = yield* Deployment
  const set = yield* settings.ORDER_STEPS
  const done = Step.literals.filter((step) => distributed || modules.includes(step))
  const chosen = Option.getOrElse(set, () => done)
  const undone = chosen.filter((step) => !done.includes(step))
  if (undone.length > 0) {
    yield* Effect.logWarning(
      `ORDER_STEPS names ${undone.join(" and ")}, which no module here performs: orders stay unprocessed until they are cancelled`,
    )
  }
  return chosen
})
