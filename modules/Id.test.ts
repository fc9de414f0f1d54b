import { describe, expect, it } from "@effect/vitest"
import { Result, Schema } from "effect"
import { Id, IdText } from "./Id.ts"

const decode = Schema.decodeUnknownResult(IdText)

describe("Id", () => {
  it.each([1, 42, Number.MAX_SAFE_INTEGER])("takes %d", (id) => expect(Schema.is(Id)(id)).toBe(true))

  it.each([0, -1, 1.5, 2 ** 53, 1e300, Number.NaN, Number.POSITIVE_INFINITY, "1", 1n, null, undefined, true, [1], {}])(
    "refuses %s",
    (wrong) => expect(Schema.is(Id)(wrong)).toBe(false),
  )

  it.prop("comes back from text", [Id], ([id]) => {
    expect(Result.getOrThrow(decode(String(id)))).toBe(id)
    expect(Schema.encodeSync(IdText)(id)).toBe(String(id))
  })

  it("is read from text up to 2^53 − 1", () => {
    expect(Result.getOrThrow(decode("9007199254740991"))).toBe(Number.MAX_SAFE_INTEGER)
    for (const wrong of ["9007199254740992", "9007199254740993", "9999999999999999", "10000000000000000"]) {
      expect(Result.isFailure(decode(wrong)), wrong).toBe(true)
    }
  })

  it.each(["", "0", "01", "+1", "-1", "1.0", "1e3", "0x1", " 1", "1 ", "1\n", "one", "１", "١", "1,2", "NaN"])(
    "is not written %j",
    (wrong) => expect(Result.isFailure(decode(wrong))).toBe(true),
  )
})
