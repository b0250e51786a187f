include $(sort $(wildcard $(BR2_EXTERNAL_LICTOR_PATH)/package/*/*.mk))
