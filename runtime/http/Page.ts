import { Context, Effect, Schema, SchemaTransformation } from "effect"
import { declare } from "./Problem.ts"

export class InvalidCursor extends declare<InvalidCursor>()("InvalidCursor", {
  slug: "invalid-cursor",
  status: 400,
  title: "Invalid cursor",
  detail: "The cursor was altered or belongs to another list; start without one.",
}) {}

const usual = 50

const Limit = Schema.String.check(
  Schema.isPattern(/^[1-9]\d{0,2}$/u, { message: "expected a whole number from 1 to 200" }),
).pipe(
  Schema.decodeTo(
    Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 200 })).annotate({
      description: "How many items the page has at most.",
      default: usual,
    }),
    SchemaTransformation.transform({ decode: Number, encode: String }),
  ),
)

/** The query parameters of a list: `limit` from 1 to 200, 50 when left out, and the `cursor` of the page before. */
export const PageQuery = {
  limit: Limit.pipe(Schema.withDecodingDefaultTypeKey(Effect.succeed(usual))),
  cursor: Schema.optionalKey(
    Schema.String.annotate({
      description: "The `next_cursor` of the page before, of the same list with the same filters.",
    }),
  ),
}

/** A page: `next_cursor` is null on the last one, and on no other, however few items there are. */
export const page = <Item extends Schema.Top>(item: Item) =>
  Schema.Struct({
    items: Schema.Array(item),
    next_cursor: Schema.NullOr(Schema.String).annotate({
      description:
        "The `cursor` of the next page; null on the last. A page of large items may have fewer than `limit`.",
      examples: [null],
    }),
  }).annotate({ description: "A page of the list." })

/**
 * Keyset pages with signed cursors: a cursor says after which position to go on, and which list it belongs to. It
 * holds across restarts and instances, and pages neither skip nor repeat while rows are added.
 */
export class Page extends Context.Service<
  Page,
  {
    /**
     * One page of `list`, its name with the filters that it was asked for. `read` brings up to `limit` rows after a
     * position, from the start when there is none; `position` is a row's place, which no other row has. A page of large
     * rows ends early, at about 2 MiB; `rowsAtOnce` says how many are read at once, 64 unless rows may be very large.
     */
    readonly of: <Row, E, R>(options: {
      readonly list: ReadonlyArray<string | number | undefined>
      readonly query: { readonly limit: number; readonly cursor?: string }
      readonly read: (after: string | undefined, limit: number) => Effect.Effect<ReadonlyArray<Row>, E, R>
      readonly position: (row: Row) => string | number
      readonly rowsAtOnce?: number
    }) => Effect.Effect<
      { readonly items: ReadonlyArray<Row>; readonly next_cursor: string | null },
      E | InvalidCursor,
      R
    >
  }
>()("galleria/Page") {}
