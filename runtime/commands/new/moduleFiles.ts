import { type Files, placed } from "./files.ts"
import type { Names } from "./names.ts"

/**
 * The files of a new module: it creates things by POST, publishes an event for each, lists them, and has a test of that.
 */
export const moduleFiles = (names: Names): Files =>
  placed(
    Object.fromEntries(
      Object.entries({ ...contractFiles(names), ...codeFiles(names), ...otherFiles(names) }).map(([path, text]) => [
        `modules/${names.module}/${path}`,
        text,
      ]),
    ),
  )

const contractFiles = ({ noun, plural, Noun, Plural }: Names): Files => ({
  "contract/ids.ts": `import { Id } from "~/modules/Id.ts"

export const ${Noun}Id = Id.annotate({ identifier: "${Noun}Id", description: "The id of a ${noun}, a positive integer." })
export type ${Noun}Id = typeof ${Noun}Id.Type
`,
  "contract/events.ts": `import { Schema } from "effect"
import { define } from "~/runtime/events/Event.ts"
import { Instant } from "~/modules/Time.ts"
import { ${Noun}Id } from "./ids.ts"

export const ${Noun}Created = define("${noun}_created", {
  data: Schema.Struct({
    ${noun}_id: ${Noun}Id,
    name: Schema.String.annotate({ examples: ["A name"] }),
    created_at: Instant,
  }).annotate({ description: "A new ${noun} was created." }),
  key: "${noun}_id",
  subject: "${noun}_id",
})
`,
  "contract/api.ts": `import { Schema } from "effect"
import { HttpApi, HttpApiEndpoint, HttpApiGroup, OpenApi } from "effect/http-api"
import { created, headers, problems } from "~/runtime/http/Idempotency.ts"
import { InvalidCursor, page, PageQuery } from "~/runtime/http/Page.ts"
import { declare, Edge } from "~/runtime/http/Problem.ts"
import { IdText } from "~/modules/Id.ts"
import { text } from "~/modules/Text.ts"
import { Instant } from "~/modules/Time.ts"
import { ${Noun}Id } from "./ids.ts"

export class ${Noun}NotFound extends declare<${Noun}NotFound>()(
  "${Noun}NotFound",
  { slug: "${noun}-not-found", status: 404, title: "${Noun} not found", detail: "There is no ${noun} with this id." },
  { ${noun}_id: ${Noun}Id },
) {}

export const New${Noun} = Schema.Struct({ name: text(200).annotate({ examples: ["A name"] }) }).annotate({
  identifier: "New${Noun}",
})
export type New${Noun} = typeof New${Noun}.Type

export const ${Noun} = Schema.Struct({
  id: ${Noun}Id,
  name: Schema.String.annotate({ examples: ["A name"] }),
  created_at: Instant,
}).annotate({ identifier: "${Noun}", description: "The ${noun}." })
export type ${Noun} = typeof ${Noun}.Type

const ${plural} = HttpApiGroup.make("${plural}")
  .add(
    HttpApiEndpoint.post("create", "/${plural}", {
      headers,
      payload: New${Noun},
      success: created(${Noun}, "/${plural}/:id"),
      error: [...problems],
    }).annotateMerge(OpenApi.annotations({ summary: "Create a ${noun}" })),
    HttpApiEndpoint.get("list", "/${plural}", {
      query: PageQuery,
      success: page(${Noun}),
      error: InvalidCursor,
    }).annotateMerge(OpenApi.annotations({ summary: "List the ${plural}", description: "Newest first." })),
    HttpApiEndpoint.get("get", "/${plural}/:id", {
      params: { id: IdText.annotate({ description: "The id of the ${noun}." }) },
      success: ${Noun},
      error: ${Noun}NotFound,
    }).annotateMerge(OpenApi.annotations({ summary: "Get a ${noun}" })),
  )
  .middleware(Edge)
  .annotateMerge(OpenApi.annotations({ title: "${Plural}", description: "All ${plural}." }))

export const api = HttpApi.make("galleria").add(${plural}).annotate(HttpApi.ParseOptions, { errors: "all" })
`,
})

const codeFiles = (names: Names): Files => {
  const { module, noun, plural, Noun, Plural } = names
  return {
    [`migrations/0001_create_${plural}.ts`]: `import { Effect } from "effect"
import { SqlClient } from "effect/sql"

export const create${Plural} = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql\`create table ${plural} (
    id bigint generated always as identity primary key,
    name text not null,
    created_at timestamptz not null
  )\`
})
`,
    [`${Noun}Store.ts`]: storeOf(names),
    [`${Plural}.ts`]: `import { Context, Effect, Layer } from "effect"
import type { Claim } from "~/runtime/http/Idempotency.ts"
import { type New${Noun}, type ${Noun}, ${Noun}NotFound } from "./contract/api.ts"
import { ${Noun}Store } from "./${Noun}Store.ts"

/** The use cases of ${plural}. */
export class ${Plural} extends Context.Service<${Plural}>()("${module}/${Plural}", {
  make: Effect.gen(function* () {
    const store = yield* ${Noun}Store

    /** Fails with \`KeyTaken\` when the idempotency key was used before. */
    const create = (${noun}: New${Noun}, claim: Claim<${Noun}>) => store.create(${noun}, claim)

    const get = Effect.fnUntraced(function* (id: number) {
      const ${noun} = yield* store.find(id)
      return ${noun} ?? (yield* new ${Noun}NotFound({ ${noun}_id: id }))
    })

    const list = Effect.fn("${Plural}.list")(store.newest)

    return { create, get, list }
  }),
}) {
  static readonly layer = Layer.effect(this, this.make).pipe(Layer.provide(${Noun}Store.layer))
}
`,
    "http.ts": `import { Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { Idempotency } from "~/runtime/http/Idempotency.ts"
import { Page } from "~/runtime/http/Page.ts"
import { api } from "./contract/api.ts"
import { ${Plural} } from "./${Plural}.ts"

export const http = HttpApiBuilder.group(
  api,
  "${plural}",
  Effect.fnUntraced(function* (handlers) {
    const ${plural} = yield* ${Plural}
    const idempotency = yield* Idempotency
    const page = yield* Page

    return handlers.handleAll({
      create: (asked) => idempotency.once(asked, (claim) => ${plural}.create(asked.payload, claim)),
      list: ({ query }) =>
        page.of({ list: ["${plural}"], query, read: ${plural}.list, position: (${noun}) => ${noun}.id }),
      get: ({ params }) => ${plural}.get(params.id),
    })
  }),
)
`,
    "module.ts": `import { Layer } from "effect"
import { make } from "~/runtime/module/Module.ts"
import { api } from "./contract/api.ts"
import { ${Noun}Created } from "./contract/events.ts"
import { http } from "./http.ts"
import { create${Plural} } from "./migrations/0001_create_${plural}.ts"
import { ${Plural} } from "./${Plural}.ts"

export const ${module} = make({
  name: "${module}",
  api,
  publishes: [${Noun}Created],
  migrations: { "0001_create_${plural}": create${Plural} },
  layer: http.pipe(Layer.provideMerge(${Plural}.layer)),
})
`,
  }
}

const storeOf = ({ module, noun, plural, Noun }: Names) => `import { Clock, Context, Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { fact } from "~/runtime/events/Event.ts"
import { type Claim, Idempotency } from "~/runtime/http/Idempotency.ts"
import { Outbox } from "~/runtime/outbox/Outbox.ts"
import type { New${Noun}, ${Noun} } from "./contract/api.ts"
import { ${Noun}Created } from "./contract/events.ts"

interface Row {
  readonly id: bigint
  readonly name: string
  readonly created_at: Date
}

const ${noun}Of = (row: Row): ${Noun} => ({ ...row, id: Number(row.id) })

/** The table of ${plural}. */
export class ${Noun}Store extends Context.Service<${Noun}Store>()("${module}/${Noun}Store", {
  make: Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const outbox = yield* Outbox
    const idempotency = yield* Idempotency

    /** Stores a new ${noun}, its event and the answer to the request in one transaction. */
    const create = ({ name }: New${Noun}, claim: Claim<${Noun}>) =>
      idempotency.keep(
        claim,
        Effect.gen(function* () {
          const now = new Date(yield* Clock.currentTimeMillis)
          const [row] = yield* Effect.orDie(sql<Row>\`
            insert into ${plural} (name, created_at) values (\${name}, \${now}) returning id, name, created_at\`)
          const created = ${noun}Of(row!)
          const { id: ${noun}_id, created_at } = created
          yield* outbox.append([fact(${Noun}Created, { ${noun}_id, name, created_at })])
          return created
        }),
      )

    const find = (id: number) =>
      Effect.map(Effect.orDie(sql<Row>\`select id, name, created_at from ${plural} where id = \${id}\`), ([row]) =>
        row === undefined ? undefined : ${noun}Of(row),
      )

    const newest = (before: string | undefined, limit: number) =>
      Effect.map(
        Effect.orDie(sql<Row>\`
          select id, name, created_at from ${plural}
          where \${before === undefined} or id < \${before ?? 0}::bigint order by id desc limit \${limit}\`),
        (rows) => rows.map(${noun}Of),
      )

    return { create, find, newest }
  }),
}) {
  static readonly layer = Layer.effect(this, this.make)
}
`

const otherFiles = ({ module, noun, plural, Noun, Plural }: Names): Files => ({
  "module.test.ts": `import { describe, expect } from "@effect/vitest"
import { Effect } from "effect"
import { onEveryDatabase, pagesOf, Scenario, statusesOf, together } from "~/runtime/test/harness/scenario.ts"
import { ${Noun}Created } from "./contract/events.ts"
import { ${module} } from "./module.ts"

const onBoth = await onEveryDatabase([${module}])

onBoth("the module ${module}, alone", (it) => {
  describe("${plural}", () => {
    it.effect("are created and published", () =>
      Effect.gen(function* () {
        const { post, get, published, settled } = yield* Scenario
        const { status, headers, body } = yield* post("/${plural}", { name: "First" })
        expect(status).toBe(201)
        expect(headers.get("location")).toBe(\`/${plural}/\${body.id}\`)
        expect(body).toEqual({ id: expect.any(Number), name: "First", created_at: expect.any(String) })
        expect((yield* get(\`/${plural}/\${body.id}\`)).body).toEqual(body)

        yield* settled
        const events = (yield* published(${Noun}Created)).filter(({ data }) => data.${noun}_id === body.id)
        expect(events).toMatchObject([{ source: "/galleria/${module}", key: String(body.id) }])
        const { id: ${noun}_id, name, created_at } = body
        expect(events[0]!.data).toEqual({ ${noun}_id, name, created_at })
      }),
    )

    it.effect("are created once by requests with one idempotency key", () =>
      Effect.gen(function* () {
        const { post, published, settled } = yield* Scenario
        const key = { "idempotency-key": "once" }
        const answers = yield* together(5, () => post("/${plural}", { name: "Once" }, key))
        expect(statusesOf(answers)[201]).toBeGreaterThan(0)
        const ids = answers.filter(({ status }) => status === 201).map(({ body }) => body.id)
        expect(new Set(ids).size).toBe(1)
        yield* settled
        expect((yield* published(${Noun}Created)).filter(({ data }) => data.${noun}_id === ids[0])).toHaveLength(1)
      }),
    )

    it.effect("are refused without a name", () =>
      Effect.gen(function* () {
        const { post } = yield* Scenario
        const { status, body } = yield* post("/${plural}", { name: " " })
        expect(status).toBe(422)
        expect(body).toMatchObject({ type: "/problems/validation-failed", errors: [{ pointer: "/name" }] })
      }),
    )

    it.effect("are not found by an unused id", () =>
      Effect.gen(function* () {
        const { status, body } = yield* (yield* Scenario).get("/${plural}/9007199254740991")
        expect(status).toBe(404)
        expect(body).toMatchObject({ type: "/problems/${noun}-not-found", ${noun}_id: 9007199254740991 })
      }),
    )

    it.effect("are listed newest first, each once over all pages", () =>
      Effect.gen(function* () {
        const { post, get } = yield* Scenario
        for (const name of ["A", "B", "C"]) yield* post("/${plural}", { name })
        const whole = (yield* get("/${plural}?limit=200")).body.items
        expect(whole.slice(0, 3).map(({ name }: { name: string }) => name)).toEqual(["C", "B", "A"])
        expect((yield* pagesOf("/${plural}?limit=2")).flat()).toEqual(whole)
      }),
    )
  })
})
`,
  "README.md": `# ${module}

${Plural}: what this module owns, in a sentence.

| | |
|---|---|
| owns | ${plural} |
| publishes | \`${noun}_created\` |
| reacts to | nothing |
| endpoints | \`POST /${plural}\`, \`GET /${plural}\`, \`GET /${plural}/{id}\` |
| tables | \`${plural}\` |
`,
})
