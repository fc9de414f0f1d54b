import { before, withImport } from "./files.ts"

/** `runtime/modules.ts` with one more module. */
export const withModule = (source: string, module: string): string => {
  const line = `import { ${module} } from "../modules/${module}/module.ts"\n`
  return before(source, /^import type \{ Module \}/mu, line).replace(
    /export const modules = \{([^}]*)\}/u,
    (_, names: string) =>
      `export const modules = {${names.trimEnd()}${names.trim() === "" ? "" : ","} ${module} }`.replace("{,", "{"),
  )
}

/** `module.ts` that publishes one more event. */
export const publishing = (source: string, event: string): string =>
  named(source, "./contract/events.ts", event).replace(
    /publishes: \[([^\]]*)\]/u,
    (_, events: string) =>
      `publishes: [${[events.trim().replace(/,$/u, ""), event].filter((one) => one !== "").join(", ")}]`,
  )

/** The source with one more name in the import of a file. */
export const named = (source: string, file: string, name: string): string => {
  const found = new RegExp(`import \\{([^}]*)\\} from "${file.replaceAll(".", String.raw`\.`)}"`, "u")
  return found.test(source)
    ? source.replace(found, (_, names: string) => {
        const all = [...names.split(",").map((one) => one.trim()), name].filter((one) => one !== "")
        return `import { ${[...new Set(all)].join(", ")} } from "${file}"`
      })
    : withImport(source, `import { ${name} } from "${file}"`)
}

/** `module.ts` with what another file of the module exports: `reactions`, `tasks` or `settings`. */
export const declaring = (source: string, name: "reactions" | "tasks" | "settings"): string =>
  new RegExp(`^ {2}${name},$`, "mu").test(source)
    ? source
    : before(named(source, `./${name}.ts`, name), /^ {2}migrations\b/mu, `  ${name},\n`)

/** `module.ts` with one more service, which has a migration. */
export const withStore = (
  source: string,
  { store, migration }: { readonly store: string; readonly migration: string },
): string => {
  const create = `create${store}`
  return named(named(source, `./migrations/${migration}.ts`, create), `./${store}.ts`, store)
    .replace(
      /migrations: \{([^}]*)\}/u,
      (_, all: string) => `migrations: {${all.trimEnd().replace(/,$/u, "")}, "${migration}": ${create} }`,
    )
    .replace(
      /^ {2}layer: ([^]*?),\n\}\)/mu,
      (_, layer: string) => `  layer: Layer.mergeAll(${mergedIn(layer)}, ${store}.layer),\n})`,
    )
}

/** The arguments of a layer that is a call of `Layer.mergeAll`, or the layer itself. */
const mergedIn = (layer: string): string => {
  const inner = /^Layer\.mergeAll\(([^]*)\)$/u.exec(layer)?.[1]
  return inner === undefined || !isBalanced(inner) ? layer : inner.trimEnd().replace(/,$/u, "")
}

const isBalanced = (text: string): boolean => {
  let depth = 0
  for (const letter of text) {
    if (letter === "(") depth += 1
    if (letter === ")") depth -= 1
    if (depth < 0) return false
  }
  return depth === 0
}

/** A source that exports a list, or an object in braces, with one more entry; a new one where there is none yet. */
export const withEntry = (
  source: string | undefined,
  name: string,
  entry: string,
  braces: "[]" | "{}" = "[]",
): string => {
  const [open, close] = [braces[0]!, braces[1]!]
  const start = `export const ${name} = ${open}\n`
  if (source === undefined) return `${start}${entry}${close}\n`
  const at = source.indexOf(start)
  const end = source.indexOf(`\n${close}`, at)
  if (at === -1 || end === -1) throw new Error(`${name} is not exported by ${start.trim()}`)
  return `${source.slice(0, end + 1)}${entry}${source.slice(end + 1)}`
}

/** The README of a module with one more entry in a row of its table, or with such a row. */
export const listed = (readme: string, row: string, entry: string): string => {
  const found = new RegExp(`^\\| ${row} \\| (.*) \\|$`, "mu")
  return found.test(readme)
    ? readme.replace(found, (line, list: string) => {
        if (list.includes(entry)) return line
        return `| ${row} | ${list === "nothing" ? entry : `${list}, ${entry}`} |`
      })
    : readme.replace(/^\| tables \| .* \|$/mu, (tables) => `${tables}\n| ${row} | ${entry} |`)
}

/** The compose file with one more setting of a module, taken from the environment. */
export const configured = (compose: string, module: string, setting: string): string =>
  compose.replace(new RegExp(`^ {6}MODULES: ${module}$`, "mu"), (line) => `${line}\n      ${setting}: \${${setting}:-}`)

/** The table of settings with one more row, before those of the log. */
export const documented = (settings: string, setting: string, meaning: string): string =>
  before(settings, /^\| `LOG_LEVEL`/mu, `| \`${setting}\` | ${meaning} | |\n`)

/** The compose file with a container and a database for one more module, on the next port. */
export const composed = (compose: string, module: string): string => {
  const ports = [...compose.matchAll(/127\.0\.0\.1:(80\d\d):8000/gu)].map(([, port]) => Number(port))
  const address = `\${POSTGRES_PASSWORD:-galleria}@${module}-db/galleria`
  const service = `  ${module}:
    <<: *module
    environment:
      <<: *environment
      MODULES: ${module}
      ${module.toUpperCase()}_DATABASE_URL: postgres://galleria:${address}
    ports: ["127.0.0.1:${Math.max(8000, ...ports) + 1}:8000"]
    depends_on:
      kafka: { condition: service_healthy }
      ${module}-db: { condition: service_healthy }

  ${module}-db:
    <<: *database
    volumes: ["${module}-data:/var/lib/postgresql/data"]

`
  return before(compose, /^ {2}kafka:$/mu, service)
    .replace(/^volumes:\n/mu, (line) => `${line}  ${module}-data:\n`)
    .replaceAll(
      /(MODULE_URLS: )(\S*)/gu,
      (_, name: string, urls: string) =>
        `${name}${urls === "" || urls === '""' ? "" : `${urls},`}${module}=http://${module}:8000`,
    )
}
