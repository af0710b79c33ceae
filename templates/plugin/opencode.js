// Lets opencode go on while `spec` has a step for this session: asks `spec hook stop` when the session is idle, and sends
// what that answers as the next message.
import { spawn } from "node:child_process"

function ask(input) {
  return new Promise((resolve) => {
    const child = spawn("spec", ["hook", "stop"], { cwd: input.cwd, stdio: ["pipe", "pipe", "ignore"] })
    let out = ""
    child.on("error", () => resolve(null))
    child.stdin.on("error", () => {})
    child.stdout.on("data", (data) => (out += data))
    child.on("close", () => {
      try {
        resolve(JSON.parse(out))
      } catch {
        resolve(null)
      }
    })
    child.stdin.end(JSON.stringify(input))
  })
}

export const Spec = async ({ client, directory }) => {
  const blocked = new Set()
  return {
    // `spec` finds the session of a call by this.
    "shell.env": async (input, output) => {
      if (input.sessionID) output.env.SPEC_SESSION = input.sessionID
    },
    event: async ({ event }) => {
      if (event.type !== "session.idle") return
      const id = event.properties.sessionID
      const session = await client.session.get({ path: { id } }).catch(() => null)
      // A sub-agent ends when it ends.
      if (session?.data?.parentID) return
      const answer = await ask({ hook_event_name: "Stop", session_id: id, cwd: directory, stop_hook_active: blocked.has(id) })
      if (answer?.decision !== "block") {
        blocked.delete(id)
        return
      }
      blocked.add(id)
      await client.session.prompt({ path: { id }, body: { parts: [{ type: "text", text: answer.reason }] } }).catch(() => {})
    },
  }
}
