import { describe, expect, it } from "@effect/vitest"
import { BigDecimal, Result, Schema } from "effect"
import { format, inRange, Money, MoneyText, parse, sumOfLines, Total, zero } from "./Money.ts"

const mostCents = 9_999_999_999

/** What money is, said without decimals: 1 to 9,999,999,999 cents. */
const Cents = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: mostCents }))

/** Cents with two places, by integers alone. */
const textOf = (cents: bigint | number) => {
  const digits = String(cents).padStart(3, "0")
  return `${digits.slice(0, -2)}.${digits.slice(-2)}`
}

const money = (text: string) => parse(text)!

describe("Money", () => {
  it.prop("comes back as it was written, with two places", [Cents], ([cents]) => {
    const text = textOf(cents)
    expect(format(money(text))).toBe(text)
    expect(format(parse(cents / 100)!)).toBe(text)
  })

  it.prop("is the same however many of its places are left out", [Cents], ([cents]) => {
    const text = textOf(cents)
    for (const shorter of [text.replace(/0$/u, ""), text.replace(/\.?0+$/u, "")]) {
      if (shorter.includes(".") || text.endsWith(".00")) expect(format(money(shorter))).toBe(text)
    }
  })

  it.prop("is never what has a third place, a sign, an exponent, a space or a leading zero", [Cents], ([cents]) => {
    const text = textOf(cents)
    for (const wrong of [
      `${text}0`,
      `${text}1`,
      `+${text}`,
      `-${text}`,
      `${text}e0`,
      ` ${text}`,
      `${text} `,
      `0${text}`,
    ]) {
      expect(parse(wrong), wrong).toBeUndefined()
    }
    for (const wrong of [cents / 100 + 0.001, -cents / 100]) expect(parse(wrong), String(wrong)).toBeUndefined()
  })

  it.prop("is never made of text that is not plain digits", [Schema.String], ([text]) => {
    const read = parse(text)
    if (read !== undefined) expect(text).toMatch(/^\d+(\.\d\d?)?$/u)
  })

  it.each([
    ["0.01", "0.01"],
    [0.01, "0.01"],
    ["99999999.99", "99999999.99"],
    [99999999.99, "99999999.99"],
    ["1", "1.00"],
    [1, "1.00"],
    ["100.5", "100.50"],
    [100.5, "100.50"],
    ["0.1", "0.10"],
  ])("reads %j as %s", (wire, text) => expect(format(parse(wire)!)).toBe(text))

  it.each([
    0,
    -0,
    "0",
    "0.0",
    "0.00",
    "00",
    "00.01",
    "01",
    "100000000",
    100_000_000,
    "100000000.00",
    "99999999.995",
    1e21,
    1e-7,
    "-1",
    -1,
    "+1",
    "1e2",
    "1E2",
    "1e-2",
    "0x10",
    "0b1",
    "1n",
    ".5",
    "5.",
    "1.234",
    1.234,
    "1.000",
    100.005,
    0.1 + 0.2,
    "1,00",
    "1.000,00",
    "1_000",
    "1 000",
    " 1",
    "1 ",
    "1\n",
    "\t1",
    "",
    " ",
    ".",
    "١٢",
    "１",
    "½",
    "NaN",
    "Infinity",
    "-Infinity",
    Number.NaN,
    Number.POSITIVE_INFINITY,
    Number.NEGATIVE_INFINITY,
    "null",
    "true",
    "1.0.0",
    "$1",
    "1 USD",
  ])("refuses %j", (wire) => expect(parse(wire)).toBeUndefined())

  it("is in range from 0.01 to 99999999.99, ends included", () => {
    const cent = BigDecimal.fromStringUnsafe("0.01")
    const most = money("99999999.99")
    expect([zero, cent, most, BigDecimal.sum(most, cent)].map(inRange)).toEqual([false, true, true, false])
  })

  it("is nothing as 0.00", () => expect(format(zero)).toBe("0.00"))

  const Line = Schema.Struct({
    quantity: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1_000_000 })),
    cents: Cents,
  })

  it.prop("adds up to the cent over any lines", [Schema.Array(Line)], ([lines]) => {
    const sum = sumOfLines(lines.map(({ quantity, cents }) => ({ quantity, price: money(textOf(cents)) })))
    const cents = lines.reduce((sum, line) => sum + BigInt(line.quantity) * BigInt(line.cents), 0n)
    expect(format(sum)).toBe(textOf(cents))
    expect(inRange(sum)).toBe(cents >= 1n && cents <= BigInt(mostCents))
  })

  it("adds up what a float would not", () => {
    const line = (quantity: number, price: string) => ({ quantity, price: money(price) })
    expect(format(sumOfLines([line(1, "0.1"), line(1, "0.2")]))).toBe("0.30")
    expect(format(sumOfLines([line(3, "19.99"), line(1, "0.03")]))).toBe("60.00")
    expect(format(sumOfLines(Array.from({ length: 100 }, () => line(1_000_000, "99999999.99"))))).toBe(
      "9999999999000000.00",
    )
  })
})

describe("Money on the wire", () => {
  const decode = Schema.decodeUnknownResult(Money)

  it.prop("is read from text or number and written as text", [Cents], ([cents]) => {
    for (const wire of [textOf(cents), cents / 100]) {
      expect(Schema.encodeSync(Money)(Result.getOrThrow(decode(wire)))).toBe(textOf(cents))
    }
  })

  it.each([null, undefined, true, {}, [], ["1"], 1n, "1.234", 0, Number.NaN])("is never %s", (wire) => {
    expect(Result.isFailure(decode(wire))).toBe(true)
  })

  it.prop("is answered as one amount, or as a total without an upper end", [Cents], ([cents]) => {
    expect(Schema.is(MoneyText)(textOf(cents))).toBe(true)
    expect(Schema.is(Total)(textOf(BigInt(cents) * 1_000_000n))).toBe(true)
  })
})
