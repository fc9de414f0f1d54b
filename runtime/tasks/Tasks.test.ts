import { Context, Effect } from "effect"
import { Database } from "../sql/Database.ts"
import { suiteOnEveryDatabase } from "../test/harness/suite.ts"
import { make } from "./call.ts"
import { makeSteps, type Steps } from "./steps.ts"
import { tasksSuite, type Subject } from "./suite/TasksSuite.ts"
import { type TaskTable, tasksIn, taskTable } from "./taskTable.ts"

const right: Subject = { tasks: tasksIn, steps: makeSteps }

/** Works by statements that are changed. */
const byTable = (change: (table: TaskTable, sql: Parameters<typeof taskTable>[0]) => Partial<TaskTable>): Subject => ({
  ...right,
  steps: () =>
    makeSteps({
      table: (sql) => {
        const table = taskTable(sql)
        return { ...table, ...change(table, sql) }
      },
    }),
})

/** Takes steps that are changed. */
const bySteps = (change: (steps: Steps) => Partial<Steps>): Subject => ({
  ...right,
  steps: () => Effect.map(makeSteps(), (steps) => ({ ...steps, ...change(steps) })),
})

const adding = (change: (tasks: ReturnType<typeof tasksIn>, ...to: Parameters<typeof tasksIn>) => object): Subject => ({
  ...right,
  tasks: (...to) => ({ ...tasksIn(...to), ...change(tasksIn(...to), ...to) }),
})

const waitsOtherwise = (change: (row: Parameters<TaskTable["wait"]>[0][number]) => object) =>
  byTable(({ wait }) => ({ wait: (rows) => wait(rows.map((row) => ({ ...row, ...change(row) }))) }))

const callsInside: Subject = {
  ...right,
  steps: () =>
    Effect.gen(function* () {
      const steps = yield* makeSteps()
      const database = yield* Database
      const results = new WeakMap<object, Effect.Success<ReturnType<Steps["make"]>>>()
      return {
        ...steps,
        claim: (task, limit) =>
          database.transaction(
            Effect.tap(steps.claim(task, limit), ({ called }) =>
              Effect.forEach(called, (one) => Effect.map(make(task, one), (result) => results.set(one, result))),
            ),
          ),
        make: (_task, called) => Effect.succeed(results.get(called)!),
      }
    }),
}

const unknown = "returns a call whose result was never recorded as unknown, and repeats nothing by itself"
const notMade = "does not count a call that was not made as an attempt, and leaves an unknown call unknown"
const oneOrder = "gives each id its own call, and each call its own result, in one order"
const claimedElsewhere = "leaves a row to the instance that claimed it after it had failed here"

await suiteOnEveryDatabase("Tasks", {
  checks: tasksSuite,
  right,
  mistakes: [
    {
      name: "a task that is added in a transaction of its own",
      subject: adding(({ add }, sql) => ({
        add: (...rows: Parameters<typeof add>) =>
          Effect.updateContext(add(...rows), Context.omit(sql.transactionService)),
      })),
      caughtBy: "runs a task of a committed transaction once, and none of a transaction that was rolled back",
      sideBySide: true,
    },
    {
      name: "a worker that is woken before the commit",
      subject: adding(({ add }, _sql, _names, wake) => ({
        add: (...rows: Parameters<typeof add>) => Effect.tap(add(...rows), () => wake),
      })),
      caughtBy: "wakes the worker once the transaction has committed, and not when it is rolled back",
    },
    {
      name: "an id that is added again and begins anew",
      subject: adding(({ add, remove }) => ({
        add: (name: string, rows: Parameters<typeof add>[1]) =>
          Effect.andThen(
            remove(
              name,
              rows.map(({ id }) => id),
            ),
            add(name, rows),
          ),
      })),
      caughtBy: "leaves a row unchanged when its id is added again, also while it is called",
    },
    {
      name: "a removal of rows that are called",
      subject: adding((_tasks, sql) => ({
        remove: (name: string, ids: ReadonlyArray<string | number>) =>
          Effect.orDie(sql`delete from task where name = ${name} and id in ${sql.in(ids.map(String))}`),
      })),
      caughtBy: "removes rows that wait, and none that is called or whose call is unknown",
    },
    {
      name: "a row without its trace",
      subject: byTable(({ lockDue }) => ({
        lockDue: (...asked) =>
          Effect.map(lockDue(...asked), (rows) => rows.map((row) => ({ ...row, traceparent: null }))) as never,
      })),
      caughtBy: "continues the trace in which a row was added; several traces together begin a new one",
    },
    {
      name: "a mark after the call",
      subject: byTable(() => ({ mark: () => Effect.succeed([]) as never })),
      caughtBy: "calls outside of any transaction, after the mark was committed",
    },
    {
      name: "a call inside the transaction",
      subject: callsInside,
      caughtBy: "calls outside of any transaction, after the mark was committed",
    },
    {
      name: "a mark that holds for no time",
      subject: byTable(({ mark }) => ({ mark: (rows, holder) => mark(rows, holder, new Date(0)) })),
      caughtBy: "leaves a row that is called to its claim until the mark is too old",
    },
    {
      name: "an unknown call that is repeated as if it were new",
      subject: byTable(({ lockDue }) => ({
        lockDue: (...asked) =>
          Effect.map(lockDue(...asked), (rows) => rows.map((row) => ({ ...row, isUnknown: false }))) as never,
      })),
      caughtBy: unknown,
    },
    {
      name: "a row that is removed before its result is recorded",
      subject: byTable(({ end }) => ({ mark: (rows) => end(rows) })),
      caughtBy: unknown,
    },
    {
      name: "a result that is recorded though its claim was lost",
      subject: byTable(() => ({
        lockHeld: (rows) => Effect.succeed(rows.map(({ id, holder }) => ({ id, holder }))) as never,
      })),
      caughtBy: "ignores a result that arrives after its claim was lost",
    },
    {
      name: "results that are matched only by their id",
      subject: byTable(({ lockHeld }) => ({
        lockHeld: (rows) =>
          Effect.map(lockHeld(rows), (held) =>
            rows.filter(({ id }) => held.some((row) => row.id === id)).map(({ id, holder }) => ({ id, holder })),
          ) as never,
      })),
      caughtBy: "ignores a result that arrives after its claim was lost",
    },
    {
      name: "calls in another order than their ids",
      subject: bySteps(({ claim }) => ({
        claim: (task, limit) =>
          claim({ ...task, begin: (items) => Effect.map(task.begin(items), (calls) => calls.toReversed()) }, limit),
      })),
      caughtBy: oneOrder,
    },
    {
      name: "results in another order than their ids",
      subject: bySteps(({ finish }) => ({
        finish: (task, finished) =>
          finish(
            task,
            finished.map((row, n) => ({ ...row, result: finished.at(-1 - n)!.result })),
          ),
      })),
      caughtBy: oneOrder,
    },
    {
      name: "a call that may take as long as it likes",
      subject: bySteps(() => ({
        make: (task, { call, id }) =>
          Effect.match(Effect.timeoutOption(task.call(call, id), "2 seconds"), {
            onSuccess: () => ({ _tag: "Unknown", reason: "no answer within 2 s" }) as const,
            onFailure: () => ({ _tag: "Unknown", reason: "" }) as const,
          }),
      })),
      caughtBy: "ends a call at its deadline even when it ignores interruption",
    },
    {
      name: "a call that is made however old its mark is",
      subject: bySteps(({ make }) => ({
        make: (task, called) => make(task, { ...called, until: Number.POSITIVE_INFINITY }),
      })),
      caughtBy: "makes no call when it was frozen after the mark, and logs that",
    },
    {
      name: "a call that was not made and counts",
      subject: waitsOtherwise(({ attempts }) => ({ attempts: attempts + 1 })),
      caughtBy: notMade,
    },
    {
      name: "a call that was not made and is taken for unknown",
      subject: waitsOtherwise(() => ({ isUnknown: true })),
      caughtBy: notMade,
    },
    {
      name: "an unknown call that is forgotten when the next is not made",
      subject: waitsOtherwise(({ reason }) => (reason === "not-made" ? { isUnknown: false } : {})),
      caughtBy: notMade,
    },
    {
      name: "a row that does not wait",
      subject: waitsOtherwise(() => ({ due: new Date(0) })),
      caughtBy: "retries a row by its schedule and its number of attempts",
    },
    {
      name: "rows that are only ever begun together",
      subject: byTable(() => ({ lockOne: () => Effect.succeed([]) as never })),
      caughtBy: "makes a row wait whose begin fails, with the error, and delays no other",
    },
    {
      name: "results that are only ever recorded together",
      subject: byTable(({ lockHeld }) => ({
        lockHeld: (rows) => (rows.length === 1 ? (Effect.succeed([]) as never) : lockHeld(rows)),
      })),
      caughtBy: "makes a row wait whose end fails, as unknown, and records the others",
    },
    {
      name: "a row that is put off though another instance has claimed it",
      subject: byTable((_table, sql) => ({
        lockOne: ({ name, id }) => sql`
          select name, id, attempts, is_unknown as "isUnknown" from task where name = ${name} and id = ${id} for update`,
      })),
      caughtBy: claimedElsewhere,
    },
    {
      name: "rows of all tasks in one claim",
      subject: byTable(({ mark }, sql) => ({
        lockDue: (_name, now, limit) => sql`
          select name, id, attempts, is_unknown or holder is not null as "isUnknown" from task
          where due <= ${now} order by due, id limit ${limit} for update skip locked`,
        mark,
      })),
      caughtBy: "does not touch the rows of a task that this release does not have",
    },
    {
      name: "rows that are found without a lock",
      subject: byTable((_table, sql) => ({
        lockDue: (name, now, limit) => sql`
          select name, id, attempts, is_unknown or holder is not null as "isUnknown" from task
          where name = ${name} and due <= ${now} order by due, id limit ${limit}`,
      })),
      caughtBy: "shares the rows between instances, so that each is called once",
      sideBySide: true,
    },
    {
      name: "a claim that waits for locked rows",
      subject: byTable((_table, sql) => ({
        lockDue: (name, now, limit) => sql`
          select name, id, attempts, is_unknown or holder is not null as "isUnknown" from task
          where name = ${name} and due <= ${now} order by due, id limit ${limit} for update`,
      })),
      caughtBy: "waits for no row that another transaction has locked",
      sideBySide: true,
    },
  ],
})
