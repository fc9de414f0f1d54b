import { Context, Effect, Schema, SchemaTransformation } from "effect"
import { declare } from "./Problem.ts"

export class InvalidCursor extends declare<InvalidCursor>()("InvalidCursor", {
  slug: "invalid-cursor",
  status: 400,
  title: "Invalid cursor",
  detail: "The cursor was altered or belongs to another list; start again without one.",
}) {}

const usual = 50

const Limit = Schema.String.check(
  Schema.isPattern(/^[1-9]\d{0,2}$/u, { message: "expected a whole number from 1 to 200" }),
).pipe(
  Schema.decodeTo(
    Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 200 })).annotate({
      description: "The most items of the page.",
      default: usual,
    }),
    SchemaTransformation.transform({ decode: Number, encode: String }),
  ),
)

/** The query parameters of a list: `limit` from 1 to 200, default 50, and the `cursor` of the previous page. */
export const PageQuery = {
  limit: Limit.pipe(Schema.withDecodingDefaultTypeKey(Effect.succeed(usual))),
  cursor: Schema.optionalKey(
    Schema.String.annotate({
      description: "The `next_cursor` of the previous page of the same list with the same filters.",
    }),
  ),
}

/** A page: `next_cursor` is null on the last one only, however few items a page has. */
export const page = <Item extends Schema.Top>(item: Item) =>
  Schema.Struct({
    items: Schema.Array(item),
    next_cursor: Schema.NullOr(Schema.String).annotate({
      description:
        "The `cursor` of the next page; null on the last. A page of large items may have fewer than `limit`.",
      examples: [null],
    }),
  }).annotate({ description: "A page of the list." })

/** The name of a list and its filters. */
export type ListName = ReadonlyArray<string | number | undefined>

/**
 * Keyset pages with signed cursors: a cursor has the position of the last row and the name of its list. Cursors are valid
 * across restarts and instances, and pages neither skip nor repeat rows while others are added.
 */
export class Page extends Context.Service<
  Page,
  {
    /**
     * One page of `list`, the name of the list and its filters. `read` returns up to `limit` rows after a position, or from
     * the start; `position` is unique to a row. A page of large rows ends early, at about 2 MiB. `rowsAtOnce` is the most
     * rows of one `read`, 64 by default; set it lower for very large rows.
     */
    readonly of: <Row, E, R>(options: {
      readonly list: ListName
      readonly query: { readonly limit: number; readonly cursor?: string }
      readonly read: (after: string | undefined, limit: number) => Effect.Effect<ReadonlyArray<Row>, E, R>
      readonly position: (row: Row) => string | number
      readonly rowsAtOnce?: number
    }) => Effect.Effect<
      { readonly items: ReadonlyArray<Row>; readonly next_cursor: string | null },
      E | InvalidCursor,
      R
    >
    /** A cursor of `list`, for a list that is not paged by `of`. */
    readonly seal: (list: ListName, position: string) => string
    /** The position in a cursor of `list`. */
    readonly open: (list: ListName, cursor: string) => Effect.Effect<string, InvalidCursor>
  }
>()("galleria/Page") {}
