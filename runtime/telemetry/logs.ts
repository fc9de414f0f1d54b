import { Cause, Layer, Logger, References } from "effect"
import { textOf } from "../loop/defect.ts"
import { placeIn } from "./trace.ts"

export interface LogSettings {
  readonly level: string
  readonly format: "pretty" | "json"
}

type Fields = Readonly<Record<string, unknown>>

const levels = { trace: "Trace", debug: "Debug", info: "Info", warn: "Warn", error: "Error", fatal: "Fatal" } as const

/** Maximum length of a text in a line. */
const mostCharacters = 4_000

/** Characters that would move the cursor, start a new line, or change the text direction. */
const unprintable = /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]+/gu

/** An e-mail address, or the user and password in a URL. */
const address = /(?<![^\s"'<>()/,;:=])[^\s"'<>()/,;:=]+(?::[^\s"'<>()/@]*)?@[^\s"'<>()/,;:]+/gu

const harmless = /^[ -?A-~]{0,1000}$/u

/** Text with its addresses replaced. */
export const withoutAddresses = (text: string): string => text.replace(address, "…@…")

/** Untrusted text for a log line: it cannot forge another line, and it contains no addresses. */
const plain = (text: string): string =>
  harmless.test(text) ? text : withoutAddresses(text.slice(0, mostCharacters).toWellFormed().replace(unprintable, " "))

const clean = (value: unknown): unknown => {
  if (typeof value === "string") return plain(value)
  if (typeof value === "number" || typeof value === "boolean" || value === null) return value
  return plain(shown(value))
}

const shown = (value: unknown): string => {
  try {
    if (value instanceof Error) return `${value.name}: ${textOf(value)}`
    return JSON.stringify(value) ?? String(value)
  } catch {
    return textOf(value)
  }
}

/** A stack trace keeps its lines, within its record. */
const pretty = (cause: Cause.Cause<unknown>) => textOfCause(cause).split(/\r?\n/u).slice(0, 50).map(plain).join("\n")

/** The text of a cause, also when printing the error fails. */
const textOfCause = (cause: Cause.Cause<unknown>) => {
  try {
    return Cause.pretty(cause)
  } catch {
    return textOf(Cause.squash(cause))
  }
}

/**
 * A log line as a record: `timestamp, level, message, module, trace_id, span_id` and the line's own fields. Log only ids,
 * never personal data, secrets or payloads; the cleaning here is only a safety net.
 */
export const recordOf = (options: Logger.Options<unknown>): Fields => {
  const place = placeIn(options.fiber.context)
  const parts = Array.isArray(options.message) ? options.message : [options.message]
  const { module = "runtime", ...fields } = options.fiber.getRef(References.CurrentLogAnnotations)
  const common = {
    timestamp: options.date.toISOString(),
    level: options.logLevel.toLowerCase(),
    message: parts.map((part) => String(clean(part))).join(" "),
    module: clean(module),
    ...(place === undefined ? {} : { trace_id: place.traceId, span_id: place.spanId }),
  }
  const own = Object.fromEntries(Object.entries(fields).map(([name, value]) => [plain(name), clean(value)]))
  const cause = options.cause.reasons.length === 0 ? {} : { cause: pretty(options.cause) }
  // Common fields come first, and a line's own fields cannot override them.
  return { ...common, ...own, ...cause, ...common }
}

const colours: Record<string, number> = { trace: 90, debug: 90, info: 32, warn: 33, error: 31, fatal: 35 }

const prettyLine = (record: Fields): string => {
  const { timestamp, level, message, cause, ...others } = record as Record<string, string>
  const rest = Object.entries(others)
    .filter(([name]) => name !== "trace_id" && name !== "span_id")
    .map(([name, value]) => ` ${name}=${value}`)
  const details = cause === undefined ? "" : `\n    ${cause.replaceAll("\n", "\n    ")}`
  const label = `\u001b[${colours[level!]}m${level!.toUpperCase().padEnd(5)}\u001b[0m`
  return `\u001b[90m${timestamp!.slice(11, 23)}\u001b[0m ${label} ${message}\u001b[90m${rest.join("")}\u001b[0m${details}`
}

export const lineOf = (format: LogSettings["format"], options: Logger.Options<unknown>): string => {
  const record = recordOf(options)
  return format === "json" ? JSON.stringify(record) : prettyLine(record)
}

/** Logs to standard output, one line for each record: JSON, or a readable format for terminals. */
export const layer = (settings: LogSettings) =>
  Layer.mergeAll(
    Logger.layer([
      Logger.make((options) => {
        process.stdout.write(`${lineOf(settings.format, options)}\n`)
      }),
    ]),
    Layer.succeed(References.MinimumLogLevel, levels[settings.level as keyof typeof levels]),
  )
