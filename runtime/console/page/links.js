/**
 * @typedef {"overview" | "orders" | "order" | "dead-letters" | "dead-letter" | "events" | "actions" | "try" | "unknown"} View
 * @typedef {{ view: View, id: string, query: Readonly<Record<string, string>> }} Address
 */

/** @type {ReadonlyArray<readonly [RegExp, View]>} */
const views = [
  [/^\/console\/?$/u, "overview"],
  [/^\/console\/orders\/?$/u, "orders"],
  [/^\/console\/orders\/(\d{1,16})$/u, "order"],
  [/^\/console\/dead-letters\/?$/u, "dead-letters"],
  [/^\/console\/dead-letters\/([0-9a-f-]{36})$/u, "dead-letter"],
  [/^\/console\/events\/?$/u, "events"],
  [/^\/console\/actions\/?$/u, "actions"],
  [/^\/console\/try\/?$/u, "try"],
]

/** @type {Readonly<Record<string, string>>} */
const paths = {
  overview: "/console",
  orders: "/console/orders",
  order: "/console/orders/",
  "dead-letters": "/console/dead-letters",
  "dead-letter": "/console/dead-letters/",
  events: "/console/events",
  actions: "/console/actions",
  try: "/console/try",
}

/**
 * The view that an address shows.
 *
 * @param {string} path
 * @param {string} search
 * @returns {Address}
 */
export const addressOf = (path, search) => {
  const query = Object.fromEntries(new URLSearchParams(search))
  for (const [pattern, view] of views) {
    const match = pattern.exec(path)
    if (match !== null) return { view, id: match[1] ?? "", query }
  }
  return { view: "unknown", id: "", query }
}

/**
 * The address of a view. All links of the page are made here, so that no foreign text becomes one.
 *
 * @param {View} view
 * @param {string | number} [id]
 * @param {Readonly<Record<string, string | number | undefined>>} [query]
 */
export const linkTo = (view, id = "", query = {}) => {
  const given = Object.entries(query).flatMap(([name, value]) =>
    value === undefined || value === "" ? [] : [[name, String(value)]],
  )
  const path = `${paths[view]}${encodeURIComponent(String(id))}`
  return given.length === 0 ? path : `${path}?${new URLSearchParams(given)}`
}

/**
 * Where a trace is shown: by the deployment's own address, and for nothing but the id of a trace.
 *
 * @param {string | undefined} template
 * @param {string} id
 */
export const traceLinkOf = (template, id) =>
  template !== undefined && /^[0-9a-f]{32}$/u.test(id) ? template.replaceAll("{trace_id}", id) : undefined

/**
 * A command that makes the call of a path, for a shell in which ADMIN_TOKEN is set.
 *
 * @param {string} origin
 * @param {string} path
 */
export const curlOf = (origin, path) =>
  `curl -H "Authorization: Bearer $ADMIN_TOKEN" '${`${origin}${path}`.replaceAll("'", "%27")}'`
