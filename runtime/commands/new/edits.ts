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

/** `module.ts` with a store of its own for a reaction, and its migration. */
export const reacting = (
  source: string,
  { store, migration }: { readonly store: string; readonly migration: string },
): string => {
  const create = `create${store}`
  const withImports = [
    [`./migrations/${migration}.ts`, create],
    [`./${store}.ts`, store],
    ["./reactions.ts", "reactions"],
  ].reduce((source, [file, name]) => named(source, file!, name!), source)
  const withReactions = /^ {2}reactions,$/mu.test(withImports)
    ? withImports
    : before(withImports, /^ {2}(?:tasks|checks|audit|migrations)\b/mu, "  reactions,\n")
  return withReactions
    .replace(
      /migrations: \{([^}]*)\}/u,
      (_, all: string) => `migrations: {${all.trimEnd().replace(/,$/u, "")}, "${migration}": ${create} }`,
    )
    .replace(
      /^ {2}layer: ([^]*?),\n\}\)/mu,
      (_, layer: string) => `  layer: Layer.mergeAll(${layer}, ${store}.layer),\n})`,
    )
}

/** `reactions.ts` with one more reaction. */
export const withReaction = (source: string | undefined, reaction: string): string =>
  source === undefined
    ? `export const reactions = [\n${reaction}]\n`
    : source.replace(/^(export const reactions = \[\n[^]*?)^\]/mu, (_, all: string) => `${all}${reaction}]`)

/** The README of a module with one more entry in a row of its table. */
export const listed = (readme: string, row: string, entry: string): string =>
  readme.replace(
    new RegExp(`^\\| ${row} \\| (.*) \\|$`, "mu"),
    (_, list: string) => `| ${row} | ${list === "nothing" ? entry : `${list}, ${entry}`} |`,
  )

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
