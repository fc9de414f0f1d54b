import { named } from "./edits.ts"
import { pascal } from "./names.ts"

/**
 * `contract/events.ts` with one more event: it is about what the module owns, which is the first id in its `ids.ts`. Its key is
 * the user where the module's other events have one.
 */
export const withEvent = (events: string, ids: string, type: string): string => {
  const id = /export const (\w+Id) =/u.exec(ids)?.[1]
  if (id === undefined) throw new Error("contract/ids.ts exports no id")
  const subject = memberOf(id)
  const isOfUser = subject !== "user_id" && /\bUserId\b/u.test(events)
  const data = isOfUser ? `{ ${subject}: ${id}, user_id: UserId }` : `{ ${subject}: ${id} }`
  return `${named(events, "./ids.ts", id).trimEnd()}

export const ${pascal(type)} = define("${type}", {
  data: Schema.Struct(${data}).annotate({ description: "${sentenceOf(type)}" }),
  key: "${isOfUser ? "user_id" : subject}",
  subject: "${subject}",
})
`
}

/** `OrderId` as `order_id`. */
const memberOf = (id: string) => id.replaceAll(/(?<=[a-z0-9])[A-Z]/gu, (letter) => `_${letter}`).toLowerCase()

/** `parcel_sent` as `Parcel sent.` */
const sentenceOf = (type: string) => {
  const words = type.replaceAll("_", " ")
  return `${words.slice(0, 1).toUpperCase()}${words.slice(1)}.`
}
