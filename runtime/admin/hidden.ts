import { Schema } from "effect"

/** The query parameter of calls that show data of events, by which personal data is left out. */
export const hidden = Schema.optionalKey(
  Schema.Literals(["hide"]).annotate({
    description:
      'Personal data is `{"hidden": "e-mail, 17 characters"}`; so is any text of an event that fails its schema.',
  }),
)
