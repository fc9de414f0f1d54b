import { Schema } from "effect"

/** What a list has in common with others: its items are ordered by their ids, the greatest first. */
export interface RemotePage {
  readonly items: ReadonlyArray<{ readonly id: string }>
  readonly next_cursor: string | null
  readonly checked_at?: string
}

/** Where the list of one process continues: in the page of a cursor, behind some of its items. */
const ListPosition = Schema.Struct({ cursor: Schema.NullOr(Schema.String), skip: Schema.Natural })

/** Where a merged list continues, by the URL of the process. A process whose list has ended is left out. */
export const MergedPosition = Schema.fromJsonString(Schema.Record(Schema.String, ListPosition))
export type MergedPosition = typeof MergedPosition.Type

/**
 * Merges a page of each process to one of at most `limit` items. It ends early, with a position, where a page is used up
 * and its list goes on: what comes next is not known yet.
 */
export const mergePages = (
  pages: ReadonlyArray<{ readonly url: string; readonly cursor: string | null; readonly skip: number } & RemotePage>,
  limit: number,
): { readonly items: RemotePage["items"]; readonly next: MergedPosition | undefined } => {
  const lists = pages.map((page) => ({ ...page, at: page.skip }))
  const isUsedUp = ({ at, items }: (typeof lists)[number]) => at >= items.length
  const items: Array<RemotePage["items"][number]> = []
  while (items.length < limit && !lists.some((list) => isUsedUp(list) && list.next_cursor !== null)) {
    const left = lists.filter((list) => !isUsedUp(list))
    if (left.length === 0) break
    const greatest = left.reduce((a, b) => (b.items[b.at]!.id > a.items[a.at]!.id ? b : a))
    items.push(greatest.items[greatest.at++]!)
  }
  const next = lists.flatMap((list) => {
    if (!isUsedUp(list)) return [[list.url, { cursor: list.cursor, skip: list.at }] as const]
    return list.next_cursor === null ? [] : [[list.url, { cursor: list.next_cursor, skip: 0 }] as const]
  })
  return { items, next: next.length === 0 ? undefined : Object.fromEntries(next) }
}

/** The part of an overview that is merged; the rest is passed on as it is. */
export interface RemoteOverview {
  readonly modules: ReadonlyArray<{ readonly module: string }>
  readonly waits: ReadonlyArray<unknown>
}

/** What a look at a process found: its overview, or since when and why there is none. */
export type RemoteLook = { readonly modules: ReadonlyArray<string> } & (
  | { readonly overview: RemoteOverview }
  | { readonly since: string; readonly why: string }
)

/** One overview of all processes: of each, the modules that are expected there. */
export const mergeOverviews = (looks: ReadonlyArray<RemoteLook>, checked_at: string) => ({
  checked_at,
  modules: looks.flatMap((look) => {
    if ("overview" in look) return look.overview.modules.filter(({ module }) => look.modules.includes(module))
    const { since, why } = look
    return look.modules.map((module) => ({ module, state: "unreachable" as const, since, why }))
  }),
  waits: looks.flatMap((look) => ("overview" in look ? look.overview.waits : [])),
})
