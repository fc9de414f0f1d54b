import { describe, expect, it } from "@effect/vitest"
import { Ajv2020 } from "ajv/dist/2020.js"
import formats from "ajv-formats"
import { eventsOf, type Module } from "../module/Module.ts"
import { modules } from "../modules.ts"
import { schemaOf } from "./eventSchema.ts"
import { samplesOf } from "./samples.ts"

describe("samples of a schema", () => {
  it("have every member, then differ in one place each", () => {
    const schema = {
      type: "object",
      required: ["id", "kind", "lines"],
      properties: {
        id: { $ref: "#/$defs/Id" },
        kind: { enum: ["a", "b"] },
        note: { type: "string", examples: ["hello"] },
        amount: { anyOf: [{ type: "string" }, { type: "number", minimum: 0.5 }], examples: ["1.00"] },
        lines: {
          type: "array",
          items: { type: "object", required: [], properties: { on: { type: "boolean" } } },
        },
      },
      $defs: { Id: { type: "integer", minimum: 7 } },
    }
    const whole = { id: 7, kind: "a", note: "hello", amount: "1.00", lines: [{ on: true }] }
    expect(samplesOf(schema)).toEqual([
      { variant: "whole", data: whole },
      { variant: "least", data: { id: 7, kind: "a", lines: [{ on: true }] } },
      { variant: "kind: b", data: { ...whole, kind: "b" } },
      { variant: "amount is number", data: { ...whole, amount: 1 } },
      { variant: "lines: empty", data: { ...whole, lines: [] } },
      { variant: "lines: least", data: { ...whole, lines: [{}] } },
      { variant: "lines.on: false", data: { ...whole, lines: [{ on: false }] } },
    ])
  })

  it.each(eventsOf(Object.values<Module>(modules)).map((event) => [event.type, schemaOf(event)] as const))(
    "of %s satisfy its schema",
    (_type, schema) => {
      const ajv = new Ajv2020({ strict: false })
      formats.default(ajv)
      const judge = ajv.compile(schema)
      for (const { variant, data } of samplesOf(schema)) {
        expect([variant, judge(data) || ajv.errorsText(judge.errors)]).toEqual([variant, true])
      }
    },
  )
})
