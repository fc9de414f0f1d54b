import { Config, ConfigProvider, Effect, Option, Redacted, Result, Schema } from "effect"
import { existsSync, readFileSync } from "node:fs"
import { type Module, projectedBy } from "./module/Module.ts"
import { faultInUrl as faultInRedisUrl } from "./cache/redis/address.ts"
import { addressesOf, type ModuleAddress } from "./http/addresses.ts"
import type { KafkaSettings } from "./events/kafka/settings.ts"
import { faultInUrl } from "./sql/postgres/address.ts"
import type { LogSettings } from "./telemetry/logs.ts"
import type { OtlpSettings } from "./telemetry/otlp.ts"

/** Wrong settings: one message names each, without values that could be secrets. */
export class SettingsInvalid extends Schema.TaggedError<SettingsInvalid>()("SettingsInvalid", {
  faults: Schema.Array(Schema.String),
}) {
  override get message(): string {
    const count = this.faults.length === 1 ? "a setting is wrong" : `${this.faults.length} settings are wrong`
    return `Galleria does not start, for ${count}:\n${this.faults.map((fault) => `  ${fault}`).join("\n")}`
  }
}

const whole = (minimum: number, maximum: number) =>
  Schema.NumberFromString.check(Schema.isInt(), Schema.isBetween({ minimum, maximum }))

const number = (name: string, minimum: number, maximum: number) => Config.schema(whole(minimum, maximum), name)

const isCollector = (text: string) => {
  const url = URL.parse(text)
  if (url === null || !/^https?:$/u.test(url.protocol)) return "expected a URL such as http://localhost:4318"
  return url.username === "" && url.password === "" ? undefined : "a URL with a user or password cannot be used"
}

/** The id of a trace takes this place. */
const isTraceUrl = (text: string) =>
  /^https?:$/u.test(URL.parse(text)?.protocol ?? "") && text.includes("{trace_id}")
    ? undefined
    : "expected a URL such as http://localhost:16686/trace/{trace_id}"

/** Other characters are not transmitted unchanged in a header. */
const isToken = (text: string) => /^[!-~]+$/u.test(text) || "expected printable ASCII characters without spaces"

const saslMechanisms = { PLAIN: "plain", "SCRAM-SHA-256": "scram-sha-256", "SCRAM-SHA-512": "scram-sha-512" } as const

const isServer = (text: string) =>
  /^(?:[\w.-]+|\[[\da-f:]+\]):\d{1,5}$/iu.test(text) && Number(/\d+$/u.exec(text)) <= 65_535

const areServers = (text: string) =>
  namesIn(text).length > 0 && namesIn(text).every(isServer)
    ? undefined
    : "expected host:port, or several separated by commas"
const databaseUrl = (name: string) =>
  Config.option(Config.map(Config.schema(Schema.String.check(Schema.makeFilter(faultInUrl)), name), Redacted.make))

/** The variable for the database of one module. */
const databaseVariable = (module: string) => `${module.toUpperCase()}_DATABASE_URL`

/** Named instead of modules, it runs the console over those in other processes. */
const consoleName = "console"

/** The runtime's own settings. Those of a module are declared with the module. */
const own = {
  HOST: Config.String("HOST").pipe(
    Config.withDefault("127.0.0.1"),
    Config.map((host) => host.replace(/^\[(.*)\]$/u, "$1")),
  ),
  PORT: number("PORT", 0, 65_535).pipe(Config.withDefault(8000)),
  MODULES: Config.option(Config.String("MODULES")),
  DATA_DIR: Config.String("DATA_DIR").pipe(Config.withDefault(".data")),
  PARTITIONS: Config.option(number("PARTITIONS", 1, 1_000)),
  RETENTION_DAYS: Config.option(number("RETENTION_DAYS", 1, 36_500)),
  RETRY_ATTEMPTS: number("RETRY_ATTEMPTS", 1, 1_000).pipe(Config.withDefault(10)),
  LOG_LEVEL: Config.schema(Schema.Literals(["trace", "debug", "info", "warn", "error", "fatal"]), "LOG_LEVEL").pipe(
    Config.withDefault("info"),
  ),
  LOG_FORMAT: Config.option(Config.schema(Schema.Literals(["pretty", "json"]), "LOG_FORMAT")),
  ADMIN_TOKEN: Config.option(
    Config.map(Config.schema(Schema.String.check(Schema.makeFilter(isToken)), "ADMIN_TOKEN"), Redacted.make),
  ),
  CONSOLE_TRACE_URL: Config.option(
    Config.schema(Schema.String.check(Schema.makeFilter(isTraceUrl)), "CONSOLE_TRACE_URL"),
  ),
  CONSOLE_TRY: Config.schema(Schema.Literals(["on", "off"]), "CONSOLE_TRY").pipe(Config.withDefault("off")),
  MODULE_URLS: Config.option(Config.String("MODULE_URLS")),
  FAULTS: Config.schema(Schema.Literals(["on", "off"]), "FAULTS").pipe(Config.withDefault("off")),
  OTEL_EXPORTER_OTLP_ENDPOINT: Config.option(
    Config.schema(Schema.String.check(Schema.makeFilter(isCollector)), "OTEL_EXPORTER_OTLP_ENDPOINT"),
  ),
  OTEL_SERVICE_NAME: Config.String("OTEL_SERVICE_NAME").pipe(Config.withDefault("galleria")),
  KAFKA_BOOTSTRAP_SERVERS: Config.option(
    Config.schema(Schema.String.check(Schema.makeFilter(areServers)), "KAFKA_BOOTSTRAP_SERVERS"),
  ),
  KAFKA_SSL: Config.Boolean("KAFKA_SSL").pipe(Config.withDefault(false)),
  KAFKA_SASL_MECHANISM: Config.option(
    Config.schema(Schema.Literals(["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]), "KAFKA_SASL_MECHANISM"),
  ),
  KAFKA_SASL_USERNAME: Config.option(Config.String("KAFKA_SASL_USERNAME")),
  KAFKA_SASL_PASSWORD: Config.option(Config.Redacted("KAFKA_SASL_PASSWORD")),
  DATABASE_URL: databaseUrl("DATABASE_URL"),
  REDIS_URL: Config.option(
    Config.map(Config.schema(Schema.String.check(Schema.makeFilter(faultInRedisUrl)), "REDIS_URL"), Redacted.make),
  ),
}

export interface Settings {
  readonly host: string
  readonly port: number
  readonly modules: ReadonlyArray<Module>
  readonly dataDir: string
  /** The event log is Kafka; undefined: the embedded one. */
  readonly kafka: KafkaSettings | undefined
  /** The PostgreSQL URL by module; a module without one has an embedded database. */
  readonly databases: Readonly<Record<string, Redacted.Redacted>>
  /** The Redis that shares cached answers and circuits; undefined: each process has its own. */
  readonly redis: Redacted.Redacted | undefined
  readonly partitions: number | undefined
  /** `RETENTION_DAYS`; undefined when it is unset. */
  readonly retentionDays: number | undefined
  /** The event types that feed a projection with a reset, in any module of this or another process. */
  readonly projected: ReadonlySet<string>
  readonly retryAttempts: number
  readonly adminToken: Redacted.Redacted | undefined
  /** Whether faults can be switched on (`FAULTS=on`). */
  readonly faults: boolean
  /** Whether the console shows how to place orders: with `CONSOLE_TRY=on` or `FAULTS=on`. */
  readonly tryIt: boolean
  /** Where the console's trace ids lead, with `{trace_id}` in place of the id; undefined: nowhere. */
  readonly traceUrl: string | undefined
  /** The addresses of the modules, for a process that is the console alone; undefined: it runs modules. */
  readonly consoleOver: ReadonlyArray<ModuleAddress> | undefined
  /** The collector of traces and metrics; undefined: they are not exported. */
  readonly otlp: OtlpSettings | undefined
}

/**
 * The environment as the source of settings: an empty variable is unset, and `NAME_FILE` names a file with the value of
 * `NAME`. An unreadable file is reported among `faults`.
 */
export const environment = (env: Readonly<Record<string, string | undefined>>) => {
  const faults: Array<string> = []
  const values: Record<string, string> = {}
  for (const [name, value] of Object.entries(env)) if (value) values[name] = value
  for (const [name, path] of Object.entries(values)) {
    if (!name.endsWith("_FILE") || !/^[A-Z_]+$/u.test(name)) continue
    const plain = name.slice(0, -"_FILE".length)
    if (!known(plain)) continue
    if (plain in values) faults.push(`${name}: ${plain} is set too; set one of them`)
    else if (!existsSync(path)) faults.push(`${name}: there is no such file`)
    else {
      try {
        const value = readFileSync(path, "utf8").trim()
        if (value === "") faults.push(`${name}: the file is empty`)
        else values[plain] = value
      } catch {
        faults.push(`${name}: the file cannot be read`)
      }
    }
  }
  return { provider: ConfigProvider.fromUnknown(values), faults }
}

const known = (name: string) =>
  name in own || /^(?:[A-Z]+_)?DATABASE_URL$|^KAFKA_SASL_PASSWORD$|^(?:SMTP|REDIS|PAYMENT_PROVIDER)_URL$/u.test(name)

/** Reads every setting, including those of modules, and fails with all faults at once. */
export const readSettings = (options: {
  readonly env: Readonly<Record<string, string | undefined>>
  /** The modules named on the command line; they take precedence over `MODULES`. */
  readonly named: ReadonlyArray<string>
  readonly known: Readonly<Record<string, Module>>
}): Effect.Effect<Settings, SettingsInvalid> =>
  Effect.gen(function* () {
    const { provider, faults } = environment(options.env)
    const wrong = [...faults]
    const read = <A>(name: string, config: Config.Config<A>) =>
      Effect.map(Effect.result(config.parse(provider)), (result) => {
        if (Result.isSuccess(result)) return result.success
        wrong.push(`${name}: ${reasonOf(result.failure)}`)
        return undefined as never
      })

    const values = {} as { [K in keyof typeof own]: Config.Success<(typeof own)[K]> }
    for (const [name, config] of Object.entries(own)) {
      values[name as keyof typeof own] = (yield* read(name, config as Config.Config<unknown>)) as never
    }
    const wanted =
      options.named.length > 0 ? options.named : namesIn(Option.getOrUndefined(values.MODULES ?? Option.none()))
    const from = options.named.length > 0 ? "the command line" : "MODULES"
    const isConsole = wanted.length === 1 && wanted[0] === consoleName
    const remote = addressesOf([], Option.getOrUndefined(values.MODULE_URLS ?? Option.none()))
    if (isConsole) wrong.push(...remote.faults.map((fault) => `MODULE_URLS: ${fault}`))
    const unknown = isConsole ? [] : wanted.filter((name) => !Object.hasOwn(options.known, name))
    if (unknown.length > 0) {
      const all = Object.keys(options.known).join(", ")
      wrong.push(
        `${from}: there is no module ${unknown.map((name) => `"${name}"`).join(" or ")}; there are ${all}, and ${consoleName} alone`,
      )
    }
    const modules = Object.values(options.known).filter((module) => wanted.length === 0 || wanted.includes(module.name))
    for (const module of modules) {
      for (const [name, config] of Object.entries(module.settings)) yield* read(name, config)
    }
    const sasl = ["KAFKA_SASL_MECHANISM", "KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD"] as const
    // A value that is invalid is not missing.
    const missing = sasl.filter((name) => (values[name] as Option.Option<unknown> | undefined)?._tag === "None")
    if (missing.length < sasl.length) wrong.push(...missing.map((name) => `${name}: missing, set all three or none`))
    if (values.FAULTS === "on" && values.KAFKA_BOOTSTRAP_SERVERS?._tag === "Some") {
      wrong.push("FAULTS: on is for development, and cannot be used with KAFKA_BOOTSTRAP_SERVERS")
    }
    const databases: Record<string, Redacted.Redacted> = {}
    for (const { name } of modules) {
      const own = yield* read(databaseVariable(name), databaseUrl(databaseVariable(name)))
      const url = Option.firstSomeOf([own ?? Option.none(), values.DATABASE_URL ?? Option.none()])
      if (Option.isSome(url)) databases[name] = url.value
    }
    if (wrong.length > 0) return yield* new SettingsInvalid({ faults: wrong })
    return {
      host: values.HOST,
      port: values.PORT,
      modules,
      dataDir: values.DATA_DIR,
      kafka: kafkaOf(values),
      databases,
      redis: Option.getOrUndefined(values.REDIS_URL),
      partitions: Option.getOrUndefined(values.PARTITIONS),
      retentionDays: Option.getOrUndefined(values.RETENTION_DAYS),
      projected: projectedBy(Object.values(options.known)),
      retryAttempts: values.RETRY_ATTEMPTS,
      faults: values.FAULTS === "on",
      tryIt: values.FAULTS === "on" || values.CONSOLE_TRY === "on",
      traceUrl: Option.getOrUndefined(values.CONSOLE_TRACE_URL),
      consoleOver: isConsole ? remote.addresses : undefined,
      adminToken: Option.getOrUndefined(values.ADMIN_TOKEN),
      otlp: Option.getOrUndefined(
        Option.map(values.OTEL_EXPORTER_OTLP_ENDPOINT, (endpoint) => ({
          endpoint,
          serviceName: values.OTEL_SERVICE_NAME,
        })),
      ),
    }
  })

const kafkaOf = (values: { readonly [K in keyof typeof own]: Config.Success<(typeof own)[K]> }) =>
  Option.getOrUndefined(
    Option.map(values.KAFKA_BOOTSTRAP_SERVERS, (servers) => ({
      servers: namesIn(servers),
      ssl: values.KAFKA_SSL,
      sasl: Option.getOrUndefined(
        Option.map(
          Option.all({
            mechanism: values.KAFKA_SASL_MECHANISM,
            username: values.KAFKA_SASL_USERNAME,
            password: values.KAFKA_SASL_PASSWORD,
          }),
          ({ mechanism, ...who }) => ({ mechanism: saslMechanisms[mechanism], ...who }),
        ),
      ),
    })),
  )

/** The log settings, also for a process whose other settings are wrong: invalid values give the defaults. */
export const readLogSettings = (env: Readonly<Record<string, string | undefined>>, terminal: boolean): LogSettings => ({
  level: /^(?:trace|debug|info|warn|error|fatal)$/u.test(env["LOG_LEVEL"] ?? "") ? env["LOG_LEVEL"]! : "info",
  format:
    env["LOG_FORMAT"] === "json" || env["LOG_FORMAT"] === "pretty" ? env["LOG_FORMAT"] : terminal ? "pretty" : "json",
})

const namesIn = (list: string | undefined) =>
  (list ?? "")
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "")

/** The first line of the error; the rest repeats the setting's name. */
const reasonOf = (error: Config.ConfigError) => error.message.split("\n")[0]!.replace(/^SchemaError\(/u, "")
