/** English. A section for each view; `title` is its name in the list of views. */
export default {
  page: {
    views: "Views",
    language: "Language",
    skip: "Skip to the content",
    loading: "Loading",
    failed: "This view has failed: {why}",
    key: "This server asks for a key",
    keyLabel: "Key",
    keyWrong: "That key is not accepted.",
    keyKept: "It is kept until this tab is closed.",
    enter: "Enter",
    cancel: "Cancel",
  },
  state: {
    gone: "The server does not answer. Asking again in {n} s.",
    goneNow: "The server has gone away.",
    loading: "The server loads its model. Asking again in {n} s.",
    busy: "The server is busy. Asking again in {n} s.",
    well: "The server answers again.",
  },
  chat: {
    title: "Chat",
  },
};
