import { startKafka } from "../harness/kafka.ts"
import { type PostgresPlace, startPostgresPlace } from "./postgres.ts"
import { type Server, startServer } from "./server.ts"

/** The shape of production, started for a bench: Kafka, and a PostgreSQL for each module that runs. */
export interface Production extends AsyncDisposable {
  readonly bootstrap: string
  /** Starts one module in a process of its own, on a PostgreSQL of its own that it finds as it was left. */
  readonly start: (module: string, env?: Readonly<Record<string, string>>) => Promise<Server>
  /** Where a module's PostgreSQL is. */
  readonly urlOf: (module: string) => Promise<string>
  /** The PostgreSQL of a module, for others that are compared with it there. */
  readonly placeOf: (module: string) => Promise<PostgresPlace>
}

/**
 * Kafka is compiled as in production and does not wait for the disk; nor does PostgreSQL unless it is `durable`. Orders need
 * no step of others, unless `ORDER_STEPS` says so.
 */
export const startProduction = async (options: {
  /** A folder for the CPU profiles of the processes; undefined: none are made. */
  readonly profiles?: string | undefined
  /** A commit on PostgreSQL waits for the disk. */
  readonly durable?: boolean
}): Promise<Production> => {
  const stack = new AsyncDisposableStack()
  try {
    const broker = stack.use(await startKafka({ optimized: true, megabytes: 512 }))
    const places = new Map<string, Promise<{ readonly place: PostgresPlace; readonly url: string }>>()
    const open = async (module: string) => {
      const place = stack.use(await startPostgresPlace(options))
      return { place, url: await place.create(module) }
    }
    const at = (module: string) => {
      const known = places.get(module) ?? open(module)
      places.set(module, known)
      return known
    }
    return {
      bootstrap: broker.bootstrap,
      start: async (module, env = {}) =>
        startServer({
          modules: [module],
          profiles: options.profiles,
          env: {
            KAFKA_BOOTSTRAP_SERVERS: broker.bootstrap,
            [`${module.toUpperCase()}_DATABASE_URL`]: (await at(module)).url,
            ORDER_STEPS: "none",
            ...env,
          },
        }),
      urlOf: async (module) => (await at(module)).url,
      placeOf: async (module) => (await at(module)).place,
      [Symbol.asyncDispose]: () => stack.disposeAsync(),
    }
  } catch (error) {
    await stack.disposeAsync()
    throw error
  }
}
