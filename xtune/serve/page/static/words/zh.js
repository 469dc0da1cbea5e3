/** 中文。每个视图一节；`title` 是它在视图列表中的名字。 */
export default {
  page: {
    views: "视图",
    language: "语言",
    skip: "跳到正文",
    loading: "正在加载",
    failed: "此视图出错：{why}",
    key: "服务器需要密钥",
    keyLabel: "密钥",
    keyWrong: "该密钥不被接受。",
    keyKept: "密钥只保留到关闭此标签页为止。",
    enter: "确定",
    cancel: "取消",
  },
  state: {
    gone: "服务器没有响应，{n} 秒后重试。",
    goneNow: "服务器已断开。",
    loading: "服务器正在加载模型，{n} 秒后重试。",
    busy: "服务器繁忙，{n} 秒后重试。",
    well: "服务器已恢复。",
  },
  chat: {
    title: "对话",
  },
};
