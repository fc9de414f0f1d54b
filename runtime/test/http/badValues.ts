/**
 * What is refused, by the kind of the value. All values are JSON texts, for some can be distinguished in no other
 * form: `1e2` from `100`, or a lone surrogate, which is written as an escape.
 */
export type Json = string

/** Texts without a space, as a list. */
export const words = (text: string): ReadonlyArray<string> => text.split(/\s+/u)

const strings = (...texts: ReadonlyArray<string>): ReadonlyArray<Json> => texts.map((text) => JSON.stringify(text))

const notStrings: ReadonlyArray<Json> = ["null", "0", "1", "true", "[]", '["a"]', "{}"]

/** No text has control characters (C0, DEL, C1), be they escaped or not, nor lone surrogates. */
const notText: ReadonlyArray<Json> = [
  ...strings("a\u0000b", "a\nb", "a\r\nBcc: b@example.org", "\ta", "a\u001b[31m", "a\u001f", "\u007fa", "a\u0080"),
  ...strings("a\u0085b", "a\u009f"),
  '"\\u0000"',
  '"a\\u007f"',
  '"\\u0085a"',
  '"\\ud800"',
  '"a\\udc00"',
  '"\\udc00\\ud83d"',
  '"\\ud83d\\ud83d\\ude00"',
]

/** Human text: characters are counted, not what they are coded in. */
export const badText = (most: number): ReadonlyArray<Json> => [
  ...notStrings,
  ...strings("", " ", "\t\r\n", "\u00a0", "\u2003\u3000"),
  ...strings("a".repeat(most + 1), "😀".repeat(most + 1), `${" ".repeat(most)}a`),
  ...notText,
]

export const goodText = (most: number): ReadonlyArray<Json> => [
  ...strings("a", "0", "null", " a ", "a\u00a0b\u00ad", "<script>", "'; drop table users; --", "\u202eabc", "👩‍👩‍👧"),
  ...strings("a".repeat(most), "é".repeat(most), "😀".repeat(most), `${" ".repeat(most - 1)}a`),
  '"\\ud83d\\ude00"',
]

const label = (length: number) => "d".repeat(length)
/** An address of that many characters, none of its labels too long. */
const address = (length: number) => {
  const domain = `@${label(63)}.${label(63)}.${label(63)}.org`
  return "l".repeat(length - domain.length) + domain
}

export const badEmails: ReadonlyArray<Json> = [
  ...notStrings,
  ...strings("", " ", "a", "a@", "@example.org", "@", "a@@example.org", "a@b@example.org", "example.org"),
  ...strings("a@localhost", "a@example..org", "a@.example.org", "a@example.org.", "a@-example.org", "a@example-.org"),
  ...strings(".a@example.org", "a.@example.org", "a..b@example.org", "a b@example.org", '"a b"@example.org'),
  ...strings(" a@example.org", "a@example.org ", "a@example.org\n", "a@exam ple.org", "a\t@example.org"),
  ...strings("ä@example.org", "a@exämple.org", "😀@example.org", "a@exa_mple.org", "a@[127.0.0.1]"),
  ...strings("Ada <a@example.org>", "a@example.org,b@example.org", "mailto:a@example.org", "a@example.org\u0000"),
  ...strings(`a@${label(64)}.org`, address(255), `${"a".repeat(100_000)}@example.org`, "a.".repeat(100_000)),
  ...notText,
]

export const goodEmails = (n: number): ReadonlyArray<Json> =>
  strings(
    `a${n}@b.co`,
    `Ada.Lovelace+tag-${n}@Mail.Example.org`,
    `!#$%&'*+/=?^_\`{|}~-${n}@example.org`,
    `${n}@xn--exmple-cua.org`,
    `1${n}@1.example.org`,
    `${n}${address(254 - String(n).length)}`,
  )

/** Money as a string or a number: plain digits, at most two places, from 0.01 to 99999999.99. */
export const badMoney: ReadonlyArray<Json> = [
  ...words(`null true [] [1] {}`),
  // Three decimals, as a number too; those that a float cannot distinguish from two are still three.
  ...strings("1.234", "1.000", "0.001", "100.500"),
  ...words(`1.234 0.001 100.005 1.000 100.500 99999999.990000001 0.010000000000000000001`),
  // Signs, exponents, leading zeros, spaces.
  ...strings("+1", "-1", "-0.01", "−1", "1e2", "1E2", "1e-1", "01", "00.50", " 1", "1 ", "1 000", "1\n", "", " "),
  ...words(`-1 -0.01 -0 1e2 1E2 1e+2 1e-1 1.5e1 10e-1 1e400 -1e400`),
  // Digits and points where there must be none.
  ...strings(".5", "1.", "1..5", "1.5.5", "1,50", "1_000", "1'000", "0x10", "0b1", "١٢", "１２", "12a", "$1", "1 USD"),
  ...strings("NaN", "Infinity", "-Infinity", "null", "true", "1\u0000", "\u00001"),
  ...notText,
  // Out of range.
  ...words(`0 0.0 0.00 100000000 99999999.995 100000000.00 9007199254740993 ${"1".repeat(30)}`),
  ...strings("0", "0.0", "0.00", "100000000", "99999999.999", "100000000.00", "1".repeat(30), "9".repeat(100_000)),
]

export const goodMoney: ReadonlyArray<readonly [Json, string]> = [
  ["0.01", "0.01"],
  ["0.1", "0.10"],
  ["0.10", "0.10"],
  ["100", "100.00"],
  ["100.0", "100.00"],
  ["99999999.99", "99999999.99"],
  ['"0.01"', "0.01"],
  ['"0.5"', "0.50"],
  ['"100"', "100.00"],
  ['"100.5"', "100.50"],
  ['"100.50"', "100.50"],
  ['"99999999.99"', "99999999.99"],
]

/** Integers from `least` to `most`. */
export const badInteger = (least: number, most: number): ReadonlyArray<Json> => [
  ...words(`null true [] [1] {} "" "1" "a" "\\ud800"`),
  ...words(`1.5 0.999 -1 -1.0 1e400 -1e400 9007199254740992 9007199254740993 ${"1".repeat(400)}`),
  ...words(`${least - 1} ${BigInt(most) + 1n}`),
]

/** Text that a pattern of ASCII holds to at most 64 characters. */
export const badToken = (...others: ReadonlyArray<string>): ReadonlyArray<Json> => [
  ...notStrings,
  ...strings("", " ", "a b", " a", "a ", "a\n", "a/b", "é", "😀", "a".repeat(65), ...others),
  ...notText,
]

/** What may stand in a path where an id is expected, and is none. */
export const badIds: ReadonlyArray<string> = [
  ...words(`0 -1 +1 01 1.0 1.5 1e3 0x1 1_000 NaN null undefined abc %00 1%00`),
  ...words(`%20 1%20 %201 1%2F2 1%0A %D9%A1 %F0%9F%98%80 1,2 1;2 * ' ..%2F1`),
  ...words(`9007199254740992 9007199254740993 18446744073709551617 ${"1".repeat(150)} ${"1".repeat(5_000)}`),
  // Not UTF-8 when decoded, or not to be decoded at all.
  ...words(`% %zz %1 %ff %c0%80 %ed%a0%80 1%ff`),
]

export const badUuids: ReadonlyArray<string> = [
  ...words(`0 1 abc %00 % %ff 0197b3c5-0000-7000-8000-00000000000 0197b3c5-0000-7000-8000-0000000000000`),
  ...words(
    `0197b3c5-0000-7000-8000-00000000000g {0197b3c5-0000-7000-8000-000000000000} 0197b3c500007000800000000000000x`,
  ),
]

/** `limit`, as text of a query. */
export const badLimits: ReadonlyArray<string> = [
  "",
  ...words(`0 00 01 -1 +1 %2B1 201 1000 99999999999999999999 1.5 1.0 1e2 0x10 abc ${"1".repeat(1_000)}`),
  ...words(`%20 1%20 %201 1%00 %00 null NaN %D9%A1 %ff %zz 1,2`),
]
