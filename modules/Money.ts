import { BigDecimal, Effect, Schema, SchemaIssue, SchemaTransformation } from "effect"

/** An amount of the one configured currency: a decimal, never a float. */
export type Money = BigDecimal.BigDecimal

/** Matches exactly the amounts in range, so that a JSON Schema can state the range as a pattern. */
const plain = /^(?!0(?:\.00?)?$)(?:0|[1-9]\d{0,7})(?:\.\d{1,2})?$/u
const least = "0.01"
const most = "99999999.99"
const range = { minimum: BigDecimal.fromStringUnsafe(least), maximum: BigDecimal.fromStringUnsafe(most) }
const wording = `an amount from ${least} to ${most} in plain digits with at most two places, such as 100.50`

/** The wire format, with exactly two places: `100.5` becomes `"100.50"`. */
export const format = (money: Money): string => {
  const digits = BigDecimal.scale(money, 2).value.toString().padStart(3, "0")
  return `${digits.slice(0, -2)}.${digits.slice(-2)}`
}

/** Parses plain digits with at most two places, from `0.01` to `99999999.99`; undefined for anything else. */
export const parse = (wire: string | number): Money | undefined => {
  const text = String(wire)
  return plain.test(text) ? BigDecimal.fromStringUnsafe(text) : undefined
}

export const inRange = (money: Money): boolean => BigDecimal.between(money, range)

export const zero: Money = BigDecimal.fromBigInt(0n)

/** The exact sum of quantity × price. */
export const sumOfLines = (lines: ReadonlyArray<{ readonly quantity: number; readonly price: Money }>): Money =>
  lines.reduce(
    (sum, line) => BigDecimal.sum(sum, BigDecimal.multiply(line.price, BigDecimal.fromBigInt(BigInt(line.quantity)))),
    zero,
  )

const codec = <Wire extends Schema.Codec<string | number>>(wire: Wire) =>
  wire.pipe(
    Schema.decodeTo(
      Schema.BigDecimal,
      SchemaTransformation.transformEffect({
        decode: (input: string | number) => {
          const money = parse(input)
          return money === undefined
            ? Effect.fail(new SchemaIssue.InvalidValue({ message: `expected ${wording}` }))
            : Effect.succeed(money)
        },
        encode: (money: Money) => Effect.succeed(format(money)),
      }),
    ),
  )

/**
 * Money on the wire: read from a string or a number of plain digits with at most two places, no sign,
 * exponent, space or leading zero, from 0.01 to 99999999.99; written as a string with two places.
 */
export const Money = codec(
  Schema.Union([
    Schema.String.annotate({ pattern: plain.source }),
    Schema.Finite.annotate({ minimum: Number(least), maximum: Number(most) }),
  ]),
).pipe(
  Schema.annotateEncoded({
    identifier: "Money",
    description: `Text or a number: ${wording}. There is one currency.`,
    examples: ["999.90"],
  }),
)

/** Money in an answer: always a string with two places. */
export const MoneyText = Schema.String.check(Schema.isPattern(/^\d{1,8}\.\d{2}$/u)).annotate({
  identifier: "MoneyText",
  description: "An amount of the one currency, with two places.",
  examples: ["999.90"],
})

/** A total over any number of orders: from `"0.00"`, without an upper limit. */
export const Total = Schema.String.check(Schema.isPattern(/^\d+\.\d{2}$/u)).annotate({
  identifier: "Total",
  description: "A sum over any number of orders, with two places and without an upper limit.",
  examples: ["1999.80"],
})
