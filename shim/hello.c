int hello_main(void){return 0;}
