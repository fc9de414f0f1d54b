/** The modules, and the first segment of the paths of each. */
export const firstOf = {
  user: "users",
  order: "orders",
  payment: "payments",
  inventory: "inventory",
  notification: "notifications",
} as const

export type ModuleName = keyof typeof firstOf
export const moduleNames = Object.keys(firstOf) as ReadonlyArray<ModuleName>

export interface ModuleAddress {
  readonly url: string
  /** The module that must be served there; undefined: all modules in its OpenAPI document. */
  readonly module?: ModuleName
}

const isModule = (name: string): name is ModuleName => Object.hasOwn(firstOf, name)

const isUrl = (text: string) => /^https?:$/u.test(URL.parse(text)?.protocol ?? "")

const addressIn = (text: string): ModuleAddress | string => {
  const [, name, rest] = /^(\w+)=(.*)$/u.exec(text) ?? []
  const url = (rest ?? text).replace(/\/+$/u, "")
  if (name !== undefined && !isModule(name)) return `there is no module "${name}"; there are ${moduleNames.join(", ")}`
  if (!isUrl(url)) return `"${text}" is no address: expected http://host:port or module=http://host:port`
  return name === undefined ? { url } : { url, module: name }
}

/**
 * The addresses from the arguments (`URL` or `module=URL`), else from `MODULE_URLS` (separated by commas), else
 * `http://localhost:8000`. Each invalid text is returned as a fault, a sentence.
 */
export const addressesOf = (
  given: ReadonlyArray<string>,
  moduleUrls: string | undefined,
): { readonly addresses: ReadonlyArray<ModuleAddress>; readonly faults: ReadonlyArray<string> } => {
  const listed = (moduleUrls ?? "").split(",").map((text) => text.trim())
  const named = (given.length > 0 ? given : listed).filter((text) => text !== "")
  const read = (named.length > 0 ? named : ["http://localhost:8000"]).map(addressIn)
  return {
    addresses: read.filter((one) => typeof one !== "string"),
    faults: read.filter((one) => typeof one === "string"),
  }
}
