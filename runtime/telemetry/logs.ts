import { Cause, Context, Layer, Logger, References, Tracer } from "effect"
import type { LogSettings } from "../config.ts"

type Record_ = Readonly<Record<string, unknown>>

const levels = { trace: "Trace", debug: "Debug", info: "Info", warn: "Warn", error: "Error", fatal: "Fatal" } as const

/** The fields of a log line: ids only, no personal data, no secrets, no payloads. */
const recordOf = (options: Logger.Options<unknown>): Record_ => {
  const span = Context.getOrUndefined(options.fiber.context, Tracer.ParentSpan)
  const parts = Array.isArray(options.message) ? options.message : [options.message]
  return {
    timestamp: options.date.toISOString(),
    level: options.logLevel.toLowerCase(),
    message: parts.map((part) => (typeof part === "string" ? part : JSON.stringify(part))).join(" "),
    ...options.fiber.getRef(References.CurrentLogAnnotations),
    ...(span === undefined ? {} : { trace_id: span.traceId, span_id: span.spanId }),
    ...(options.cause.reasons.length === 0 ? {} : { cause: Cause.pretty(options.cause) }),
  }
}

const colours: Record<string, number> = { trace: 90, debug: 90, info: 32, warn: 33, error: 31, fatal: 35 }

/** What would move the cursor or start a line of its own is shown as a blank. */
const plain = (text: string) => text.replace(/[\u0000-\u001f\u007f-\u009f]+/gu, " ")

const prettyLine = (record: Record_): string => {
  const {
    timestamp,
    level,
    message,
    cause,
    trace_id: _trace,
    span_id: _span,
    ...fields
  } = record as Record<string, string>
  const rest = Object.entries(fields).map(([name, value]) => ` ${name}=${plain(value)}`)
  const details = cause === undefined ? "" : `\n${cause.split("\n").map(plain).join("\n")}`
  const label = `\u001b[${colours[level!]}m${level!.toUpperCase().padEnd(5)}\u001b[0m`
  return `\u001b[90m${timestamp!.slice(11, 23)}\u001b[0m ${label} ${plain(message!)}\u001b[90m${rest.join("")}\u001b[0m${details}`
}

/** Logs to standard output, a line a record: JSON, or for a terminal something that people read. */
export const layer = (settings: LogSettings) =>
  Layer.mergeAll(
    Logger.layer([
      Logger.make((options) => {
        const record = recordOf(options)
        process.stdout.write(`${settings.format === "json" ? JSON.stringify(record) : prettyLine(record)}\n`)
      }),
    ]),
    Layer.succeed(References.MinimumLogLevel, levels[settings.level as keyof typeof levels]),
  )
