import { describe, expect, it } from "@effect/vitest"
import { Schema } from "effect"
import { HttpApi, HttpApiEndpoint, HttpApiGroup, HttpApiSchema } from "effect/http-api"
import { define } from "../events/Event.ts"
import { declare, Edge } from "../http/Problem.ts"
import { breaksOf } from "./breaks.ts"
import { contractOf } from "./released.ts"

const fields = {
  id: Schema.Int,
  owner: Schema.Int,
  state: Schema.Literals(["open", "shut"]),
  note: Schema.optionalKey(Schema.String),
}
const options = { key: "owner", subject: "id", keptForever: true } as const
const event = (data: Schema.Codec<any, any>, rest: object = {}) => define("door_moved", { data, ...options, ...rest })

class Locked extends declare<Locked>()("Locked", {
  slug: "locked",
  status: 409,
  title: "Locked",
  detail: "It is locked.",
}) {}
class Jammed extends declare<Jammed>()("Jammed", {
  slug: "jammed",
  status: 409,
  title: "Jammed",
  detail: "It is jammed.",
}) {}
const Door = Schema.Struct({ id: Schema.Int, state: Schema.Literals(["open", "shut"]) })
const NewDoor = Schema.Struct({ name: Schema.String, note: Schema.optionalKey(Schema.String) })

interface Endpoint {
  readonly payload?: any
  readonly success?: any
  readonly error?: any
  readonly query?: any
}
const door: Endpoint = {
  payload: NewDoor,
  success: Door,
  error: [Locked, Jammed],
  query: { limit: Schema.optionalKey(Schema.Int) },
}
const apiOf = (changes: Endpoint, path: `/${string}` = "/doors") =>
  HttpApi.make("galleria").add(
    HttpApiGroup.make("doors")
      .add(HttpApiEndpoint.post("add", path, { ...door, ...changes }))
      .middleware(Edge),
  )

const before = { publishes: [event(Schema.Struct(fields))], api: apiOf({}) }
const readers = () => ["bell.ring", "lamp.light"]
const found = (after: Partial<typeof before>) =>
  breaksOf(contractOf(before), contractOf({ ...before, ...after }), readers)

const whom = "bell.ring, lamp.light and other programs"
const refused = `Today's readers refuse events that were published before: ${whom}.`
const broken = `Readers of the last release break on today's events: ${whom}.`
const { note: _note, ...withoutNote } = fields
const { state: _state, ...withoutState } = fields

describe("the breaks of an event's contract", () => {
  it.each<readonly [what: string, after: ReturnType<typeof event>, words: string]>([
    ["a removed member", event(Schema.Struct(withoutNote)), `door_moved 1: \`note\` is removed. ${broken}`],
    [
      "a renamed member",
      event(Schema.Struct({ ...withoutState, mode: fields.state })),
      `door_moved 1: \`state\` is renamed to \`mode\`. ${refused} ${broken}`,
    ],
    [
      "a retyped member",
      event(Schema.Struct({ ...fields, note: Schema.optionalKey(Schema.Boolean) })),
      `door_moved 1: \`note\` was string, and is boolean. ${refused} ${broken}`,
    ],
    [
      "a narrowed member",
      event(Schema.Struct({ ...fields, id: Schema.Int.check(Schema.isGreaterThanOrEqualTo(1)) })),
      `door_moved 1: \`id\` has another minimum: -9007199254740991, now 1. ${refused}`,
    ],
    [
      "a newly required member",
      event(Schema.Struct({ ...fields, note: Schema.String })),
      `door_moved 1: \`note\` is newly required. ${refused}`,
    ],
    [
      "a new required member",
      event(Schema.Struct({ ...fields, by: Schema.String })),
      `door_moved 1: \`by\` is new, and required. ${refused}`,
    ],
    [
      "a value more",
      event(Schema.Struct({ ...fields, state: Schema.Literals(["open", "shut", "ajar"]) })),
      `door_moved 1: \`state\` can now also be \`ajar\`. ${broken}`,
    ],
    [
      "a value less",
      event(Schema.Struct({ ...fields, state: Schema.Literals(["open"]) })),
      `door_moved 1: \`state\` can no longer be \`shut\`. ${refused}`,
    ],
    [
      "another key",
      event(Schema.Struct(fields), { key: "id" }),
      `The key of door_moved was \`owner\`, and is \`id\`: events of one \`owner\` move to several partitions, and ${whom} lose their order. Publish a new type of event instead.`,
    ],
    [
      "another subject",
      event(Schema.Struct(fields), { subject: "owner" }),
      "The subject of door_moved was `id`, and is `owner`: programs that filter by `ce_subject` break.",
    ],
    [
      "a shorter retention",
      event(Schema.Struct(fields), { keptForever: false }),
      "door_moved is no longer kept forever: a module that is added later lacks its history.",
    ],
  ])("have %s", (_what, after, words) => {
    expect(found({ publishes: [after] }).map((one) => one.words)).toEqual([words])
  })

  it("have an event that is no longer published", () => {
    expect(found({ publishes: [] })).toEqual([
      { words: `door_moved is no longer published: ${whom} get no more of them.`, mendedByVersionOf: undefined },
    ])
  })

  it("are none where an optional member was added", () => {
    expect(found({ publishes: [event(Schema.Struct({ ...fields, by: Schema.optionalKey(Schema.String) }))] })).toEqual(
      [],
    )
  })

  it("are mended by a new version where only readers of the last release break", () => {
    const data = Schema.Struct(withoutNote)
    expect(found({ publishes: [event(data)] })).toMatchObject([{ mendedByVersionOf: "door_moved" }])
    expect(found({ publishes: [event(data, { version: 2 })] })).toEqual([])
  })

  it("are not mended where today's readers refuse what is on the log", () => {
    const data = Schema.Struct({ ...fields, by: Schema.String })
    const words = `door_moved 1: \`by\` is new, and required. ${refused}`
    const unmended = [{ words, mendedByVersionOf: undefined }]
    expect(found({ publishes: [event(data)] })).toEqual(unmended)
    expect(found({ publishes: [event(data, { version: 2 })] })).toEqual(unmended)
  })

  it("have a version that went back", () => {
    const released = contractOf({ ...before, publishes: [event(Schema.Struct(fields), { version: 2 })] })
    expect(breaksOf(released, contractOf(before), readers).map(({ words }) => words)).toEqual([
      "door_moved has version 1, and version 2 was released: it cannot go back.",
    ])
  })
})

describe("the breaks of a module's endpoints", () => {
  const lost = "requests of existing clients are refused or lose a value."
  it.each<readonly [what: string, after: ReturnType<typeof apiOf>, words: ReadonlyArray<string>]>([
    ["another path", apiOf({}, "/gates"), ["POST /doors is removed: its clients get 404 or 405."]],
    [
      "a removed member of a body",
      apiOf({ payload: Schema.Struct({ name: Schema.String }) }),
      [`POST /doors: in the body, \`note\` is removed: ${lost}`],
    ],
    [
      "a narrowed body",
      apiOf({ payload: Schema.Struct({ ...NewDoor.fields, name: Schema.String.check(Schema.isMaxCodePoints(9)) }) }),
      [`POST /doors: in the body, \`name\` has another maxLength: Infinity, now 9: ${lost}`],
    ],
    [
      "a newly required member of a body",
      apiOf({ payload: Schema.Struct({ ...NewDoor.fields, note: Schema.String }) }),
      [`POST /doors: in the body, \`note\` is newly required: ${lost}`],
    ],
    [
      "a removed parameter",
      apiOf({ query: { colour: Schema.optionalKey(Schema.Int) } }),
      ["POST /doors: the query parameter `limit` is removed: it no longer has an effect."],
    ],
    [
      "a new required parameter",
      apiOf({ query: { ...door.query, colour: Schema.Int } }),
      ["POST /doors: the query parameter `colour` is new, and required."],
    ],
    [
      "a removed member of an answer",
      apiOf({ success: Schema.Struct({ id: Schema.Int }) }),
      ["POST /doors: in the answer 200, `state` is removed: existing clients cannot read it."],
    ],
    [
      "a value more in an answer",
      apiOf({ success: Schema.Struct({ ...Door.fields, state: Schema.Literals(["open", "shut", "ajar"]) }) }),
      ["POST /doors: in the answer 200, `state` can now also be `ajar`: existing clients cannot read it."],
    ],
    [
      "another status",
      apiOf({ success: Door.pipe(HttpApiSchema.status(201)) }),
      ["POST /doors: the status 200 is removed: clients that expect it break."],
    ],
    [
      "a problem less",
      apiOf({ error: [Jammed] }),
      ["POST /doors: the problem /problems/locked (409) is removed: clients that distinguish it break."],
    ],
    [
      "no problem of a status",
      apiOf({ error: [] }),
      ["POST /doors: the status 409 is removed: clients that expect it break."],
    ],
  ])("have %s", (_what, api, words) => {
    expect(found({ api }).map((one) => one.words)).toEqual(words)
  })

  it("are none where a body accepts more, and an answer has more", () => {
    const api = apiOf({
      payload: Schema.Struct({ name: Schema.Union([Schema.String, Schema.Null]), note: NewDoor.fields.note }),
      success: Schema.Struct({ ...Door.fields, colour: Schema.String }),
      query: { ...door.query, colour: Schema.optionalKey(Schema.Int) },
    })
    expect(found({ api })).toEqual([])
  })
})
